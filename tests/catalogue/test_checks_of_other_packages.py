"""Packages that bring checks by the entry point, and what is wrong with them: one sentence each."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint

import pytest

from wirecheck.catalogue import registry as catalogue
from wirecheck.catalogue.registry import CatalogueError, load
from wirecheck.cli import main as cli

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path, monkeypatch) -> Iterator[Install]:
    """Makes an entry point that leads to a module of this text, or to none that is there."""
    load()
    monkeypatch.syspath_prepend(tmp_path)
    found = importlib.metadata.entry_points

    def put(name: str, text: str) -> None:
        module = f"checks_of_{tmp_path.name}"
        package = tmp_path / module
        package.mkdir()
        (package / "__init__.py").touch()
        (package / f"{name}.py").write_text(text)
        point = EntryPoint(name, f"{module}.{name}", catalogue.ENTRY_POINTS)
        points = {catalogue.ENTRY_POINTS: [point]}
        monkeypatch.setattr(
            importlib.metadata,
            "entry_points",
            lambda **of: points.get(of.get("group"), []) or found(**of),
        )

    catalogue._load_others.cache_clear()
    yield put
    catalogue._load_others.cache_clear()


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("storage", "import nobody_has_this", "ModuleNotFoundError: No module named"),
        ("storage", "def", "SyntaxError"),
        ("storage", "raise SystemError('the licence ended')", "SystemError: the licence ended"),
        ("dns", "", "the group dns, which belongs to wirecheck itself"),
    ],
)
def test_a_package_with_a_defect_is_named(install: Install, name, text, sentence, tmp_path) -> None:
    install(name, text)
    with pytest.raises(CatalogueError, match=sentence) as caught:
        load()
    assert f"checks_of_{tmp_path.name}.{name} " in str(caught.value)


def test_the_command_line_says_so_in_one_sentence(install: Install, capsys) -> None:
    install("storage", "import nobody_has_this")
    with pytest.raises(SystemExit) as ended:
        cli.main(["list"])
    assert ended.value.code == 4
    said = capsys.readouterr().err
    assert "Fix or uninstall the package." in said
    assert "Traceback" not in said
