"""The command line as a function that tests call; it runs in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from wirecheck.cli import main as cli

Ended = tuple[int, str, str]
"""The exit status, standard output and standard error."""


@pytest.fixture
def call(capsys) -> Callable[..., Ended]:
    """Run the command line with these words."""

    def call(*words: object) -> Ended:
        with pytest.raises(SystemExit) as left:
            cli.main(list(map(str, words)))
        shown = capsys.readouterr()
        return int(left.value.code or 0), shown.out, shown.err

    return call


@pytest.fixture
def bare_home(tmp_path, monkeypatch) -> Path:
    """An empty folder as the current one and as HOME: no kubeconfig is found."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return tmp_path
