"""docs/adding-a-fact.md shows the real files, and names all of them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs/adding-a-fact.md").read_text()
TABLE = re.findall(r"^\| `([^`]+)` \|", PAGE, re.MULTILINE)
SECTIONS = re.findall(r"^## (\d)\. (.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
FENCE = re.compile(r"^```(?:python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN = [(int(number), shown) for number, text in SECTIONS for shown in FENCE.findall(text)]

FACT = re.compile(r"NewConnections|NEW_CONNECTIONS|\bnew_connections|\"New connections\"")
USES = re.compile(r"\b(conntrack|table)\.new_connections")
"""How the rest of the code asks for what the fact means."""


def names_the_fact(path: Path) -> bool:
    return bool(FACT.search(f"{path.stem}\n{USES.sub('', path.read_text())}"))


def test_the_fact_takes_at_most_eight_files():
    assert 0 < len(TABLE) == len(set(TABLE)) <= 8
    assert [int(number) for number, _ in SECTIONS] == list(range(1, len(TABLE) + 1))


def test_the_page_names_every_file_of_the_package_that_knows_the_fact_and_no_other():
    files = [*(ROOT / "wirecheck").rglob("*.py"), *(ROOT / "wirecheck").rglob("*.json")]
    found = {
        str(path.relative_to(ROOT))
        for path in files
        if "recorded" not in path.parts and names_the_fact(path)
    }

    assert found == {name for name in TABLE if name.startswith("wirecheck/")}


@pytest.mark.parametrize("name", TABLE)
def test_a_file_exists_and_its_step_names_it(name):
    assert names_the_fact(ROOT / name)
    assert any(f"`{name}`" in text for _, text in SECTIONS)


@pytest.mark.parametrize(("step", "shown"), SHOWN)
def test_a_step_shows_the_code_as_it_is(step, shown):
    (text,) = [text for number, text in SECTIONS if int(number) == step]
    named = [name for name in TABLE if f"`{name}`" in text]

    assert any(shown in (ROOT / name).read_text() for name in named), named


@pytest.mark.parametrize("command", re.findall(r"`python -m ([\w.]+)`", PAGE))
def test_the_commands_exist(command):
    assert (ROOT / f"{command.replace('.', '/')}.py").exists()
