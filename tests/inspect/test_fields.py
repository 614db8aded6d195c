"""The JSON's fields are documented, and always there."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from wirecheck.inspect import (
    node_view,
    parts,
    pod_view,
    policy_parts,
    policy_preview_view,
    policy_view,
    service_view,
)

DOCS = Path(__file__).parents[2] / "docs"
MODULES = (
    parts,
    pod_view,
    service_view,
    node_view,
    policy_parts,
    policy_view,
    policy_preview_view,
)
VIEWS = sorted(
    {
        each
        for module in MODULES
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, parts.View) and each is not parts.View
    },
    key=lambda each: each.__name__,
)


@pytest.mark.parametrize("view", VIEWS, ids=lambda each: each.__name__)
def test_every_field_is_documented(view):
    pages = [(DOCS / name).read_text() for name in ("inspect.md", "policy.md")]
    documented = set(re.findall(r"`([a-z_]+)`", "\n".join(pages)))

    assert {each.encode_name for each in msgspec.structs.fields(view)} - documented == set()


@pytest.mark.parametrize("view", VIEWS, ids=lambda each: each.__name__)
def test_no_field_is_left_out_where_it_is_empty(view):
    assert view.__struct_config__.omit_defaults is False
