"""Drawing mutants: the same seed and source give the same ones, in the same order."""

from __future__ import annotations

import difflib
import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from testbed.mutants.sites import Site, mutated, sites_of


class Mutant(msgspec.Struct, frozen=True):
    """One change to one file."""

    file: str
    line: int
    end_line: int
    operator: str
    occurrence: int

    @property
    def id(self) -> str:
        """Its name, unique within one state of the source."""
        return f"{self.file}:{self.line} {self.operator.rpartition('/')[2]} #{self.occurrence}"


def sources_below(tree: Path, roots: Sequence[str]) -> dict[str, str]:
    """Return the text of every Python file below the roots, by its path from the tree's top."""
    found = {
        str(path.relative_to(tree)): path.read_text()
        for root in roots
        for path in sorted((tree / root).rglob("*.py"))
    }
    missing = [root for root in roots if not any(name.startswith(f"{root}/") for name in found)]
    if missing:
        raise ValueError(f"no Python file below {', '.join(missing)}")
    return found


def draw(sources: Mapping[str, str], seed: int, count: int) -> list[Mutant]:
    """Draw that many mutants, or as many as there are."""
    chance = random.Random(seed)
    sites = [site for file, source in sorted(sources.items()) for site in sites_of(file, source)]
    shuffled = chance.sample(sites, len(sites))
    return list(islice(_mutants(shuffled, sources, chance), count))


def _mutants(
    sites: Sequence[Site], sources: Mapping[str, str], chance: random.Random
) -> Iterator[Mutant]:
    """Yield one mutant per site: the first of its variants, in random order, that is valid."""
    for site in sites:
        for operator, occurrence in chance.sample(site.variants, len(site.variants)):
            if mutated(sources[site.file], operator, occurrence) is not None:
                yield Mutant(site.file, site.start[0], site.end[0], operator, occurrence)
                break


def text_of(mutant: Mutant, source: str) -> str:
    """Return the mutated file."""
    text = mutated(source, mutant.operator, mutant.occurrence)
    if text is None:
        raise ValueError(f"{mutant.id} cannot be made from this source")
    return text


def diff_of(mutant: Mutant, source: str) -> str:
    """Return the mutation as a unified diff."""
    before, after = source.splitlines(), text_of(mutant, source).splitlines()
    lines = difflib.unified_diff(before, after, f"a/{mutant.file}", f"b/{mutant.file}", lineterm="")
    return "\n".join(lines)
