"""The view of a path as text: hop by hop, with the line that decided each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from wirecheck.inspect.drawing import CROSS, LONGEST, STYLES, Line, heading
from wirecheck.inspect.trace_view import HopView, PathView, TraceView, WayView
from wirecheck.text import listed, plural, shortened

MOST_PATHS = 8
"""Branches that are drawn hop by hop; -o json has all of them."""
MOST_UNREAD = 6
MOST_NAMES = 6
RAIL = "│ "
DIES = STYLES["fail"]
STYLE_OF = {"dies": DIES, "cannot be decided": STYLES["warn"], "reaches": STYLES["good"]}


def trace_lines(view: TraceView) -> Iterator[Line]:
    """The lines of the drawing."""
    to = f"{view.destination} ({_with_port(view.address, view.port)}/{view.protocol})"
    yield Line(f"From {view.sender} to {to}", style="bold")
    yield heading(view.source)
    if view.assumed:
        yield Line(f"assumed: {listed(view.assumed, MOST_NAMES)}")
    for path in view.paths[:MOST_PATHS]:
        yield Line()
        yield from _path(path)
    if more := view.paths[MOST_PATHS:]:
        yield Line()
        yield Line(f"{plural(len(more), 'further branch', 'further branches')}: see -o json")
    yield Line()
    why = f": {shortened(view.reason, LONGEST)}" if view.reason else ""
    yield Line(f"{_result(view.result)}{why}", style=STYLE_OF.get(view.result, ""))
    yield from _decisive(view)


def _with_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _result(result: str) -> str:
    words = {"dies": "The packet dies", "reaches": "The packet arrives, and so does its answer"}
    return words.get(result, "It cannot be decided")


def _decisive(view: TraceView) -> Iterator[Line]:
    """Where it ends, and the line because of which it does."""
    hop = view.paths[0].decisive if view.paths else None
    if hop is not None:
        yield Line(f"{hop.node}, {hop.netns}, {hop.stage}", "  where")
        for each in hop.lines:
            yield Line(shortened(each, LONGEST), "  line")
    for hop in view.paths[0].further if view.paths else ():
        yield Line(f"{hop.node}, {hop.netns}, {hop.stage}: {hop.text}", "  then", style=DIES)
        for each in hop.lines:
            yield Line(shortened(each, LONGEST), "  line")


def _path(path: PathView) -> Iterator[Line]:
    share = "all connections" if path.share >= 1 else f"{path.share:.0%} of connections"
    yield Line(f"{share}: {path.result}", style=STYLE_OF.get(path.result, ""))
    yield from _way(path.there)
    if path.back is not None:
        yield Line()
        yield Line(f"the answer, {path.back.packet}")
        yield from _way(path.back)
    for name, policy in (("policies", path.policy), ("assumed", path.assumed)):
        if policy is not None:
            yield Line(f"{policy.decision}: {shortened(policy.reason, LONGEST)}", f"  {name}")
    for each in path.unread[:MOST_UNREAD]:
        yield Line(each, "  not read", style=STYLES["warn"])
    if more := path.unread[MOST_UNREAD:]:
        yield Line(f"{plural(len(more), 'further fact')}: see -o json", "  not read")


def _way(way: WayView) -> Iterator[Line]:
    last = way.hops[-1] if way.hops and way.result != "reaches" else None
    for (node, netns), hops in groupby(way.hops, key=lambda each: (each.node, each.netns)):
        yield Line(f"{node}: {netns}", style="bold")
        for hop in hops:
            yield from _hop(hop, is_end=hop is last, result=way.result)


def _hop(hop: HopView, *, is_end: bool, result: str) -> Iterator[Line]:
    style = STYLE_OF.get(result, "") if is_end else ""
    rail = f"{CROSS} " if is_end else RAIL
    yield Line(shortened(hop.text, LONGEST), hop.stage, rail, style)
    for each in hop.lines:
        yield Line(shortened(each, LONGEST), " ", RAIL, style)
