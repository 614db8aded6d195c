"""Patterns of file names, as the shell, Go's filepath.Glob, sysctl.d and systemd know them."""

from __future__ import annotations

from fnmatch import fnmatchcase

MOST_BRACKETS = 16
"""For each `[`, fnmatch looks for its `]` up to the end: quadratic without a bound."""


def matches(name: str, pattern: str) -> bool:
    """Whether the pattern matches; one with more brackets than anybody writes matches nothing."""
    return pattern.count("[") <= MOST_BRACKETS and fnmatchcase(name, pattern)
