"""What a run prints on the terminal while it goes on."""

from __future__ import annotations

from contextlib import AbstractContextManager

from rich.console import Console
from rich.text import Text

from wirecheck.cli.countdown import count_down
from wirecheck.cli.visit_bar import VisitBar
from wirecheck.run.progress import VisitProgress
from wirecheck.text import harmless_lines


class ConsoleProgress:
    """Shows how a run goes, on standard error: standard output is for the results."""

    def __init__(self, *, stderr: bool = True) -> None:
        self._console = Console(stderr=stderr, highlight=False)

    def say(self, sentence: str) -> None:
        """Print one sentence, perhaps with lines to copy below it."""
        for line in harmless_lines(sentence.rstrip("\n")):
            self._console.print(Text(line), soft_wrap=True)

    def counts_down(self, seconds: float, why: str) -> bool:
        """Show on a terminal how many seconds of a pause are left; elsewhere return False."""
        if not self._console.is_terminal:
            return False
        count_down(self._console, seconds, why)
        return True

    def visits(self, total: int) -> AbstractContextManager[VisitProgress]:
        """Show a bar on a terminal, elsewhere a line per node."""
        return VisitBar(self._console, total)
