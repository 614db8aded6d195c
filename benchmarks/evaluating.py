"""Evaluates a snapshot node by node, in a process of its own: CPU seconds of each, and the memory.

`python -m benchmarks.evaluating FOLDER NODES` evaluates as `wirecheck run` does;
`python -m benchmarks.evaluating FOLDER NODES floor` only unpacks and splits what it would evaluate.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from wirecheck.catalogue.registry import load
from wirecheck.cli.main import GC_THRESHOLDS
from wirecheck.evaluation.evaluate import Evaluation
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.node_document import NodeDocument


def main(folder: str, nodes: str, what: str = "evaluate") -> None:
    """Print CPU seconds of the cluster and of each node, outcomes, and the peak in bytes.

    One thread does it all: on an idle machine that is the time that it takes.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    snapshot = Snapshot.open(Path(folder))
    timed = (floor if what == "floor" else evaluated)(snapshot, int(nodes))
    print(json.dumps({"steps": list(timed), "peak": peak()}))


def peak() -> int:
    """The most memory that this process had; getrusage has that of the one that started it, too."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(each.split()[1]) * 1024 for each in lines if each.startswith("VmHWM:"))


def evaluated(snapshot: Snapshot, nodes: int) -> list[tuple[float, str]]:
    """Seconds and outcome of the cluster's objects, then of each node."""
    checks = [each for each in load() if each.scope == "node"]
    began = time.process_time()
    evaluation = Evaluation(snapshot, checks)
    steps = [(time.process_time() - began, "")]
    for name in evaluation.node_names[:nodes]:
        began = time.process_time()
        items = [each for each in evaluation.node(name) if each.check.startswith("services.")]
        ended = time.process_time()
        findings = sum(len(each.findings) for each in items)
        outcomes = sorted({str(each.outcome) for each in items})
        steps.append((ended - began, f"{', '.join(outcomes)}: {findings}"))
    return steps


def floor(snapshot: Snapshot, nodes: int) -> list[tuple[float, str]]:
    """The same documents unpacked and split into lines, or decoded from JSON; no more."""
    steps = []
    for name in snapshot.node_names()[:nodes]:
        began = time.process_time()
        parts = sum(len(split(text)) for text in texts(snapshot.document(name)))
        steps.append((time.process_time() - began, f"{parts} parts"))
    return steps


def texts(document: NodeDocument) -> Iterable[str]:
    """What the node's rules were read from."""
    yield from (each.output for each in document.commands.values() if each.output)
    yield document.files.get("/proc/net/ip_vs", "")
    yield from (each.columns for each in (document.ebpf.maps if document.ebpf else ()))


def split(text: str) -> list[object]:
    """Lines, or the items of nft's list."""
    if text.startswith("{"):
        # A text in blocks is a subclass, which the decoder does not take.
        return list(msgspec.json.decode(str(text))["nftables"])
    return list(text.split("\n"))


if __name__ == "__main__":
    main(*sys.argv[1:])
