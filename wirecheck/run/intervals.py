"""The pauses before the second, third … round, as a command line names them."""

from __future__ import annotations

LONGEST = 3600.0


def read_intervals(text: str) -> tuple[float, ...]:
    """Read `10,30`, numbers of seconds; empty means one round. Raises ValueError, a sentence."""
    try:
        seconds = tuple(float(part) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError(f"{text!r} is not a list of seconds such as 10,30.") from None
    if not all(0 <= each <= LONGEST for each in seconds):
        raise ValueError(f"a pause is between 0 and {LONGEST:g} seconds.")
    return seconds
