"""Commands that took long on a node, so that their output was outdated when it was read. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.snapshot.index import SnapshotIndex
from wirecheck.text import plural


def slow_commands(index: SnapshotIndex) -> Iterator[str]:
    """Yield a sentence for each command that took long on some node: its output is as old."""
    slowest: dict[str, dict[str, float]] = {}
    for each in index.looks:
        for node, visit in each.visits.items():
            for command, seconds in visit.slow.items():
                known = slowest.setdefault(command, {})
                known[node] = max(seconds, known.get(node, 0.0))
    for command, by_node in sorted(slowest.items()):
        node = max(by_node, key=by_node.__getitem__)
        more = len(by_node) - 1
        others = f", and long on {plural(more, 'other node')}" if more else ""
        yield (
            f"{command} took {by_node[node]:.0f} s on {node}{others}: changes during that time may "
            "be missing in the results."
        )
