"""Options that have a new name. The old one is accepted, with a warning."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence

from wirecheck.catalogue.former_ids import FormerNameWarning

RENAMED: Mapping[str, str] = {
    "looks": "rounds",
    "look-intervals": "round-intervals",
    "share": "shard",
}
"""Each old name and its new one."""


def warn_of_option(old: str) -> None:
    """Issue the warning that names the new option."""
    warnings.warn(f"--{old} is now --{RENAMED[old]}.", FormerNameWarning, stacklevel=2)


def with_new_names(words: Sequence[str]) -> Iterator[str]:
    """The words of a command line with the new names. Warns of each old one."""
    for at, word in enumerate(words):
        if word == "--":
            yield from words[at:]
            return
        option, equals, value = word.partition("=")
        name = option.removeprefix("--")
        if option != name and name in RENAMED:
            warn_of_option(name)
            yield f"--{RENAMED[name]}{equals}{value}"
        else:
            yield word
