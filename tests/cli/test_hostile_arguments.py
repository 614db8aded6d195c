"""Arguments that no shell would pass by accident."""

from __future__ import annotations

import pytest

from wirecheck.cli.main import main


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--snapshot", "x" * 5000],
        ["run", "--snapshot", "a/" * 3000],
        ["run", "--inventory", "y" * 5000],
        ["run", "--kubeconfig", "z" * 300],
        ["run", "--baseline", "b" * 5000, "--snapshot", "nothing"],
        ["run", "-k", "(" * 20_000, "--snapshot", "nothing"],
        ["explain", "[" * 20_000],
        ["inspect", "pod", "/" * 20_000, "--snapshot", "nothing"],
        ["snapshot", "redact", "s" * 5000, "t" * 5000],
        ["merge", "m" * 5000],
        ["diff", "d" * 5000, "e" * 5000],
        ["trend", "--history", "h" * 5000],
    ],
)
def test_long_and_deep_arguments_end_in_a_sentence(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    said = capsys.readouterr()
    assert ended.value.code in (2, 4), said  # `inspect` without a snapshot is status 2
    assert "Traceback" not in said.err
    assert "a bug" not in said.err


def test_a_deep_inventory_ends_in_a_sentence(tmp_path, capsys):
    deep = tmp_path / "inventory.yaml"
    deep.write_text("a: " + "[" * 20_000)
    with pytest.raises(SystemExit) as ended:
        main(["run", "--inventory", str(deep)])
    assert ended.value.code == 4
    assert "a bug" not in capsys.readouterr().err
