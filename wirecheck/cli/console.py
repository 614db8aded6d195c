"""What a run prints on the terminal while it goes on, and why it ends without results."""

from __future__ import annotations

import sys
import tempfile
import traceback
import warnings
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from wirecheck.catalogue.former_ids import FormerNameWarning
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

    def visits(self, total: int) -> AbstractContextManager[VisitProgress]:
        """Show a bar on a terminal, elsewhere a line per node."""
        return VisitBar(self._console, total)


def complain(sentence: str) -> None:
    """Print on standard error why there are no results."""
    for line in harmless_lines(sentence):
        print(line, file=sys.stderr)


@contextmanager
def former_names_in_plain_words() -> Iterator[None]:
    """Show a FormerNameWarning as its sentence alone, without the line of code that issued it."""
    with warnings.catch_warnings():
        show = warnings.showwarning

        def show_sentence(
            message: Warning | str, category: type[Warning], *place: Any, **more: Any
        ) -> None:
            if issubclass(category, FormerNameWarning):
                complain(f"Warning: {message}")
            else:
                show(message, category, *place, **more)

        warnings.showwarning = show_sentence
        yield


def sentence_with_notes(error: BaseException, sentence: str) -> str:
    """`sentence`, then the notes of the exception."""
    return " ".join([sentence, *getattr(error, "__notes__", ())])


def saved_traceback(error: BaseException) -> Path:
    """Save the traceback of a bug and return the file: users need not read it."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="wirecheck-", suffix=".traceback.txt", delete=False, encoding="utf-8"
    ) as file:
        file.writelines(traceback.format_exception(error))
    return Path(file.name)
