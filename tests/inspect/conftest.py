"""What the tests of the views share: the command line as a function, and recorded clusters."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.cilium_with_maps import with_maps
from tests.command_line import Ended

__all__ = ["as_json", "as_text", "broken", "healthy", "inspect", "with_maps"]

CLUSTERS = Path(__file__).parents[1] / "recorded" / "clusters"
"""Kept as they are, because the tests name what is in them: those that ship are made anew."""


@pytest.fixture
def inspect(bare_home, call) -> Callable[..., Ended]:
    """Run `wirecheck inspect …` in an empty folder."""
    return partial(call, "inspect")


@pytest.fixture
def as_json(inspect) -> Callable[..., dict[str, Any]]:
    """The same with `-o json`, decoded."""

    def run(*arguments: object) -> dict[str, Any]:
        status, out, err = inspect(*arguments, "-o", "json")
        assert (status, err) == (0, "")
        return json.loads(out)

    return run


@pytest.fixture
def as_text(inspect) -> Callable[..., str]:
    """The same as text."""

    def run(*arguments: object) -> str:
        status, out, err = inspect(*arguments)
        assert (status, err) == (0, "")
        return out

    return run


@pytest.fixture
def broken() -> Path:
    return CLUSTERS / "broken"


@pytest.fixture
def healthy() -> Path:
    return CLUSTERS / "healthy"
