"""Which checks of the catalogue a run evaluates."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from wirecheck.catalogue.former_ids import (
    current_id,
    former_id,
    matches,
    warn_of_ids,
    warn_of_pattern,
)
from wirecheck.catalogue.profiles import PATHS, PROFILES
from wirecheck.catalogue.registry import Check
from wirecheck.results.ordering import REACHABLE
from wirecheck.run.request import RequestError

ALWAYS = REACHABLE
"""Every other check about nodes depends on it, so its reason replaces theirs."""


def selected(checks: Sequence[Check], globs: Sequence[str]) -> tuple[Check, ...]:
    """The checks that match a glob (`dns.*`) or are in a group (`dns`); all without globs.

    Globs match former ids too, with a warning. `nodes.reachable` is always among the checks.
    Raises RequestError for a glob that matches none.
    """
    if not globs:
        return tuple(checks)
    for glob in globs:
        if not any(_matches(check, glob) for check in checks):
            raise RequestError(f"No check matches `{glob}`; {_hint(checks, glob)}")
        warn_of_pattern(glob, f"`--check {glob}`")
    return tuple(
        check
        for check in checks
        if check.id == ALWAYS or any(_matches(check, glob) for glob in globs)
    )


def in_profile(checks: Sequence[Check], profile: str | None) -> tuple[Check, ...]:
    """The checks of a profile, by its name, and `nodes.reachable`.

    Without a profile all except those that are part of a run on request only.
    """
    if profile is None:
        return tuple(check for check in checks if check.id not in PATHS)
    return tuple(c for c in checks if c.id == ALWAYS or PROFILES[profile].has(c.id))


def prerequisites(
    checks: Sequence[Check], profile: str | None, globs: Sequence[str]
) -> frozenset[str]:
    """The checks that `in_profile` and `selected` add although nobody selected them."""
    always = next((check for check in checks if check.id == ALWAYS), None)
    if always is None:
        return frozenset()
    by_profile = profile is None or PROFILES[profile].has(ALWAYS)
    by_glob = not globs or any(_matches(always, glob) for glob in globs)
    return frozenset() if by_profile and by_glob else frozenset({ALWAYS})


def named(checks: Sequence[Check], identity: str) -> Check:
    """The check with this id. Raises RequestError with similar ids if there is none."""
    for check in checks:
        if check.id == current_id(identity):
            warn_of_ids([identity], f"`explain {identity}`")
            return check
    raise RequestError(f"There is no check `{identity}`; {_hint(checks, identity)}")


def _matches(check: Check, glob: str) -> bool:
    return matches(check.id, glob) or check.group == glob


def _hint(checks: Sequence[Check], word: str) -> str:
    names = {name: name for check in checks for name in (check.id, check.group)}
    # A former name gets a hint to the current one.
    names |= {former_id(check.id): check.id for check in checks}
    near = dict.fromkeys(names[each] for each in difflib.get_close_matches(word, names, n=3))
    if near:
        return f"did you mean {' or '.join(f'`{each}`' for each in near)}?"
    return "`wirecheck list` shows them all."
