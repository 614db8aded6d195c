"""The JSON's fields are documented, and always there."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from wirecheck.inspect import node_view, parts, pod_view, service_view

DOCS = Path(__file__).parents[2] / "docs" / "inspect.md"
VIEWS = sorted(
    {
        each
        for module in (parts, pod_view, service_view, node_view)
        for each in vars(module).values()
        if isinstance(each, type) and issubclass(each, parts.View) and each is not parts.View
    },
    key=lambda each: each.__name__,
)


@pytest.mark.parametrize("view", VIEWS, ids=lambda each: each.__name__)
def test_every_field_is_documented(view):
    documented = set(re.findall(r"`([a-z_]+)`", DOCS.read_text()))

    assert {each.encode_name for each in msgspec.structs.fields(view)} - documented == set()


@pytest.mark.parametrize("view", VIEWS, ids=lambda each: each.__name__)
def test_no_field_is_left_out_where_it_is_empty(view):
    assert view.__struct_config__.omit_defaults is False
