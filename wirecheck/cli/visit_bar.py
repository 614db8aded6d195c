"""Progress while nodes are visited: a bar on a terminal, elsewhere one line per node."""

from __future__ import annotations

import threading
from types import TracebackType

from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from wirecheck.snapshot.index import VisitRecord
from wirecheck.text import harmless


class VisitBar:
    """A context manager around the visits of one round. Any thread may call `visited`."""

    def __init__(
        self,
        console: Console,
        total: int,
        title: str = "visiting nodes",
        *,
        shows_all: bool = False,
    ) -> None:
        self._console = console
        self._total = total
        self._shows_all = shows_all
        self._done = 0
        self._lock = threading.Lock()
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task(title, total=total)

    def __enter__(self) -> VisitBar:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def visited(self, node: str, visit: VisitRecord) -> None:
        """Count a node. A failed visit is shown at once, also beside the bar.

        With `shows_all` every visit is, with its access method.
        """
        with self._lock:
            self._done += 1
            self._bar.advance(self._task)
            if visit.status.reached and self._console.is_terminal and not self._shows_all:
                return
            what = f"{visit.seconds:.1f} s, {decimal(visit.bytes)}"
            if self._shows_all and visit.via:
                what += f", {visit.via}"
            if not visit.status.reached:
                what = f"{visit.status}: {visit.reason}"
            line = harmless(f"[{self._done}/{self._total}] {node}: {what}")
            encoding = self._console.encoding
            line = line.encode(encoding, "backslashreplace").decode(encoding)
            self._console.print(Text(line), soft_wrap=True)
