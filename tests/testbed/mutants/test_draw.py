"""Which mutants there are, and which are drawn."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from testbed.mutants.draw import diff_of, draw, sources_below, text_of
from testbed.mutants.sites import sites_of

SOURCE = '''\
from dataclasses import dataclass


@dataclass(frozen=True)
class Point(Base, kw_only=True, is_open=True):
    """1 + 1 is 2."""

    x: int | None = 3

    def moved(self, *others: int | str, by: int = 1) -> int | None:
        if self.x is None and others:
            return by + 2
        return None


if TYPE_CHECKING:
    DEBUG = 1
'''


def found(source: str) -> set[tuple[str, str]]:
    """The families of sites within one line, each with the site's text."""
    lines = source.splitlines()
    return {
        (site.family, lines[site.start[0] - 1][site.start[1] : site.end[1]])
        for site in sites_of("a.py", source)
        if site.start[0] == site.end[0]
    }


def test_annotations_signatures_docstrings_and_how_records_are_stored_are_no_sites():
    assert found(SOURCE) == {
        ("ReplaceTrueWithFalse", "True"),
        ("NumberReplacer", "3"),
        ("NumberReplacer", "1"),
        ("NumberReplacer", "2"),
        ("AddNot", "self.x is None and others"),
        ("ReplaceComparisonOperator", "is"),
        ("ReplaceAndWithOr", "and"),
        ("ReplaceBinaryOperator", "+"),
    }


def test_a_place_is_one_site_however_many_operators_apply():
    (plus,) = (site for site in sites_of("a.py", "x = a + b\n"))

    assert len(plus.variants) == 11


def test_columns_are_counted_in_characters():
    source = 'def f(é: int = 1, ö: "1 | 2 | 3" = 2) -> "int | str": return é + 4\n'

    assert {text for _, text in found(source)} == {"1", "2", "+", "4"}


@pytest.mark.slow
def test_the_same_seed_draws_the_same_mutants():
    sources = {"a.py": "\n".join(f"x{n} = {n} + {n}" for n in range(50)), "b.py": "y = 1\n"}

    first = draw(sources, 1, 20)

    assert draw(sources, 1, 20) == first
    assert draw(sources, 1, 10) == first[:10]
    assert draw(sources, 2, 20) != first
    assert len({mutant.id for mutant in first}) == 20
    assert len(draw(sources, 1, 1000)) == 151


def test_every_mutant_is_valid_and_means_something_else():
    source = "def f(a, *, b=0x10):\n    return a if b == 16 else -a\n"
    mutants = draw({"a.py": source}, 3, 100)

    assert len(mutants) >= 4
    for mutant in mutants:
        text = text_of(mutant, source)
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(source))
        changed = [line for line in diff_of(mutant, source).splitlines() if line[0] in "+-"]
        assert changed[:2] == ["--- a/a.py", "+++ b/a.py"]
        assert mutant.line in (1, 2)


def test_a_folder_without_source_is_an_error(tmp_path: Path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/x.py").write_text("x = 1\n")

    assert sources_below(tmp_path, ["a"]) == {"a/x.py": "x = 1\n"}
    with pytest.raises(ValueError, match="no Python file below b"):
        sources_below(tmp_path, ["a", "b"])
