"""How the command ends before it serves."""

from __future__ import annotations

import sys

import pytest

from wirecheck.cli.main import main


def ended(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as exit_:
        main(["mcp", *words])
    out, err = capsys.readouterr()
    assert out == ""
    return exit_.value.code, err


@pytest.mark.parametrize("missing", ["mcp", "mcp_types", "anyio"])
def test_without_the_sdk_it_ends_with_a_sentence(missing, monkeypatch, capsys):
    for name in [each for each in sys.modules if each.startswith("wirecheck.mcp.")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [each for each in sys.modules if each.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)

    status, err = ended(capsys)

    assert status == 4
    assert err.splitlines() == [
        "wirecheck mcp needs the SDK of the Model Context Protocol. Install it: "
        "pip install 'wirecheck[mcp]'"
    ]


def test_a_folder_that_is_not_there_is_refused(tmp_path, capsys):
    status, err = ended(capsys, "--snapshots", str(tmp_path / "no"))

    assert status == 4
    assert "is not a folder" in err


def test_a_wrong_inventory_is_refused_at_once(tmp_path, capsys):
    file = tmp_path / "inventory.yaml"
    file.write_text("nodes: 3")

    assert ended(capsys, "--inventory", str(file))[0] == 4
