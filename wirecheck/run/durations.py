"""Durations as a command line names them: 90s, 10m, 1h30m."""

from __future__ import annotations

import re

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def read_duration(text: str) -> float:
    """Read a duration in seconds; a number alone is seconds. Raises ValueError, a sentence."""
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not re.fullmatch(r"(?=\d)(\d+h)?(\d+m)?(\d+s)?", text):
        raise ValueError(f"{text!r} is not a duration such as 90s, 10m or 1h30m.")
    return sum(float(number) * UNITS[unit] for number, unit in re.findall(r"(\d+)([hms])", text))
