"""Before the first run: is the cluster reached, may it be read, is there a way into each node."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from wirecheck.inventory import missing_lines
from wirecheck.live import connect
from wirecheck.look import ways_into
from wirecheck.request import Request
from wirecheck.snapshot_summary import objects_counted
from wirecheck.verdict import HEALTHY, INCOMPLETE, NOTHING_TO_DO


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found, line by line, and the exit status that says so."""

    lines: list[str]
    status: int


def examine(request: Request) -> Examination:
    """Read the API, visit nobody. Raises what `request.SENTENCES` lists."""
    inventory = request.read_inventory()
    api = connect(request, inventory)
    objects = api.read()
    lines = [
        f"context     {api.context}, Kubernetes {objects.server_version}",
        f"objects     {objects_counted(objects)}",
        *(f"not read    {problem}" for problem in api.problems),
    ]
    ways = ways_into(inventory, objects.nodes)
    kinds = Counter(way.via.partition("://")[0] for way in ways.values())
    lines += [f"ways in     {number:,} by {kind}" for kind, number in sorted(kinds.items())]
    without = sorted({node.metadata.name for node in objects.nodes} - ways.keys())
    if without:
        lines.append(f"no way in   {len(without):,} nodes; an inventory with this adds them:")
        lines.append(missing_lines(without).rstrip())
    if not objects.nodes:
        return Examination(lines, NOTHING_TO_DO)
    return Examination(lines, INCOMPLETE if without or api.problems else HEALTHY)
