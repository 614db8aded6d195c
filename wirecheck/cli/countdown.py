"""A countdown on a terminal, for the pause before a further round."""

from __future__ import annotations

import math
import time

from rich.console import Console
from rich.text import Text


def count_down(console: Console, seconds: float, why: str) -> None:
    """Let `seconds` pass, and show those that are left in one line that then remains."""
    end = time.monotonic() + seconds
    with console.status(Text(_line(why, seconds))) as status:
        while (left := end - time.monotonic()) > 0:
            status.update(Text(_line(why, left)))
            time.sleep(min(left, 1.0))
    console.print(Text(f"{why} after {seconds:.0f} s."), soft_wrap=True)


def _line(why: str, left: float) -> str:
    return f"{why} in {math.ceil(left)} s"
