"""Empty tables of the legacy variant need no tool that lists them."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.collect.on_node.conftest import FakeNode
from wirecheck.collect.on_node import legacy_tables

MakeNode = Callable[..., FakeNode]
ASK = (
    "import json,sys;sys.path.insert(0,{root!r});"
    "from wirecheck.collect.on_node.legacy_tables import are_empty;"
    "print(json.dumps(are_empty({names!r},{tables!r})))"
)


def are_empty(node: FakeNode, tables: list[str], names: str = "ip_tables_names") -> bool:
    root = legacy_tables.__file__.partition("/wirecheck/collect/")[0]
    asked = ASK.format(root=root, names=names, tables=tables)
    return bool(json.loads(node.run("python3", "-c", asked)))


@pytest.mark.needs("iptables")
@pytest.mark.parametrize("tool", ["iptables-legacy", "ip6tables-legacy"])
def test_tables_with_and_without_rules(fake_node: MakeNode, tool: str) -> None:
    node = fake_node()
    names = "ip6_tables_names" if tool.startswith("ip6") else "ip_tables_names"
    for table in ("nat", "filter"):
        node.run(tool, "-t", table, "-S")
    assert are_empty(node, ["nat", "filter"], names)

    node.run(tool, "-P", "FORWARD", "DROP")
    assert not are_empty(node, ["filter"], names)
    assert are_empty(node, ["nat"], names)

    node.run(tool, "-t", "nat", "-N", "KUBE-SERVICES")
    assert not are_empty(node, ["nat"], names)


def test_what_the_kernel_does_not_tell_is_not_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> bytes:
        raise OSError(92, "Protocol not available")

    monkeypatch.setattr(legacy_tables, "_get", refused)
    assert not legacy_tables.are_empty("ip_tables_names", ["nat"])

    monkeypatch.setattr(legacy_tables, "_get", lambda *_: b"")
    assert not legacy_tables.are_empty("ip_tables_names", ["nat"])
