"""What visits of nodes with the same Services cost: seconds on the node, bytes sent and stored."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.sent import as_sent
from wirecheck.snapshot.folder import SnapshotWriter
from wirecheck.snapshot.node_document import NodeDocument

STAGES = ("Rules", "eBPF maps")
"""Those of the visit that read what forwards Services. IPVS is read with all other files."""
BASE, COMPARED = "nftables", "cilium"


@dataclass
class VisitCosts:
    """Of nodes that were visited one after the other, with the blocks known that are stored."""

    reading: float
    """Seconds by the clock of the first node, as it was when it was read."""
    packing: list[float] = field(default_factory=list)
    """Seconds of CPU to cut, encode and compress a document."""
    sent: list[int] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, document: NodeDocument) -> VisitCosts:
        """Those of a node that was read, before its document is sent."""
        return cls(sum(document.seconds.get(each, 0.0) for each in STAGES))

    def send(self, document: NodeDocument, writer: SnapshotWriter, name: str) -> None:
        """Send a document as the node program does, and store it."""
        began = time.process_time()
        raw = as_sent(document, writer)
        self.sent.append(len(zlib.compress(raw, 6)))
        self.packing.append(time.process_time() - began)
        before = _bytes_in(writer.path)
        writer.write_document(1, name, raw)
        self.stored.append(_bytes_in(writer.path) - before)

    def __str__(self) -> str:
        """`read in 0.16 s, packed in 0.05 s; sent 0.217 MB, …`."""
        return (
            f"visit: read in {self.reading:.2f} s, packed in {self.packing[0]:.2f} s; sent "
            f"{self.sent[0] / 1e6:.3f} MB, a further node {median(self.sent[1:]) / 1e6:.3f} MB; "
            f"stored {self.stored[0] / 1e6:.3f} MB, {median(self.stored[1:]) / 1e6:.3f} MB"
        )


def _bytes_in(folder: Path) -> int:
    return sum(each.stat().st_size for each in folder.rglob("*") if each.is_file())


Figures = Mapping[str, float]
"""What one mode costs, by what is measured."""
VISIT: Mapping[str, Callable[[VisitCosts], float]] = {
    "visit: seconds of reading": lambda each: each.reading,
    "visit: seconds of packing": lambda each: each.packing[0],
    "sent by the first node, MB": lambda each: each.sent[0] / 1e6,
    "sent by a further node, MB": lambda each: median(each.sent[1:]) / 1e6,
    "stored of the first node, MB": lambda each: each.stored[0] / 1e6,
    "stored of a further node, MB": lambda each: median(each.stored[1:]) / 1e6,
}


def side_by_side(figures: Mapping[str, Figures]) -> Iterator[str]:
    """A table of all modes; where both were measured, with the ratio of COMPARED to BASE."""
    has_ratio = {BASE, COMPARED} <= figures.keys()
    heads = [*figures, *([f"{COMPARED} : {BASE}"] if has_ratio else [])]
    yield _row("", heads)
    for what in dict.fromkeys(what for each in figures.values() for what in each):
        values = [figures[mode].get(what) for mode in figures]
        cells = ["-" if value is None else f"{value:.3f}" for value in values]
        if has_ratio:
            base, compared = (figures[mode].get(what) for mode in (BASE, COMPARED))
            cells.append(f"{compared / base:.3f}" if base and compared is not None else "-")
        yield _row(what, cells)


def _row(name: str, cells: Sequence[str]) -> str:
    return f"{name:30}" + "".join(f"{each:>19}" for each in cells)
