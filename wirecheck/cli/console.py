"""What a run prints on the terminal while it goes on."""

from __future__ import annotations

from contextlib import AbstractContextManager

from rich.console import Console
from rich.text import Text

from wirecheck.cli.countdown import count_down
from wirecheck.cli.visit_bar import VisitBar
from wirecheck.run.progress import Silence, VisitProgress
from wirecheck.text import harmless_lines


class ConsoleProgress:
    """Shows how a run goes, on standard error: standard output is for the results.

    With a `verbosity` below 0 it shows warnings only, above 0 every visit on a terminal too.
    """

    def __init__(self, *, stderr: bool = True, verbosity: int = 0) -> None:
        self._console = Console(stderr=stderr, highlight=False)
        self._verbosity = verbosity

    def say(self, sentence: str) -> None:
        """Print one sentence, perhaps with lines to copy below it; nothing if it is quiet."""
        if self._verbosity >= 0:
            self.warn(sentence)

    def warn(self, sentence: str) -> None:
        """Print one sentence, however quiet the rest is."""
        for line in harmless_lines(sentence.rstrip("\n")):
            self._console.print(Text(line), soft_wrap=True)

    def counts_down(self, seconds: float, why: str) -> bool:
        """Show on a terminal how many seconds of a pause are left; elsewhere return False."""
        if not self._console.is_terminal or self._verbosity < 0:
            return False
        count_down(self._console, seconds, why)
        return True

    def visits(self, total: int) -> AbstractContextManager[VisitProgress]:
        """Show a bar on a terminal, elsewhere a line per node."""
        if self._verbosity < 0:
            return Silence().visits(total)
        return VisitBar(self._console, total, shows_all=self._verbosity > 0)
