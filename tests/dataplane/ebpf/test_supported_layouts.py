"""The documentation names every layout that is known, and no other."""

import re
from pathlib import Path

from wirecheck.dataplane.ebpf.layouts import ADDRESS_LAYOUTS, LAYOUTS, POLICY_LAYOUTS

PAGE = Path(__file__).parents[3] / "docs" / "supported.md"
ROW = re.compile(r"^\| `(cilium_\w+)` \| (\d+), (\d+) \|", re.MULTILINE)


def test_the_table_of_layouts_is_complete() -> None:
    rows = {(name, int(key), int(value)) for name, key, value in ROW.findall(PAGE.read_text())}
    assert rows == {*LAYOUTS, *ADDRESS_LAYOUTS, *POLICY_LAYOUTS}
