"""What the tests of the views share: the command line as a function, and recorded clusters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wirecheck.cli import main as cli

CLUSTERS = Path(__file__).parents[1] / "recorded" / "clusters"
"""Kept as they are, because the tests name what is in them: those that ship are made anew."""

Told = tuple[int, str, str]


@pytest.fixture
def inspect(tmp_path, monkeypatch, capsys) -> Callable[..., Told]:
    """Run `wirecheck inspect …`: (status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)

    def run(*arguments: object) -> Told:
        with pytest.raises(SystemExit) as left:
            cli.main(["inspect", *map(str, arguments)])
        said = capsys.readouterr()
        return int(left.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def as_json(inspect) -> Callable[..., dict[str, Any]]:
    """The same with `-o json`, decoded."""

    def run(*arguments: object) -> dict[str, Any]:
        status, out, err = inspect(*arguments, "-o", "json")
        assert (status, err) == (0, "")
        return json.loads(out)

    return run


@pytest.fixture
def broken() -> Path:
    return CLUSTERS / "broken"


@pytest.fixture
def healthy() -> Path:
    return CLUSTERS / "healthy"
