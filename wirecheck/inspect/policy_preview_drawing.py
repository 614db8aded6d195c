"""What a manifest of NetworkPolicies would change, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wirecheck.inspect.drawing import STYLES, Line, heading
from wirecheck.inspect.policy_drawing import (
    LONGEST,
    MOST_PEERS,
    MOST_ROWS,
    NONE,
    peers_text,
    reason_lines,
)
from wirecheck.inspect.policy_preview_view import EffectView, PreviewedPolicyView, PreviewView
from wirecheck.text import listed, plural, shortened


def preview_lines(view: PreviewView) -> Iterator[Line]:
    """The lines of the drawing."""
    yield Line(f"Preview of {plural(len(view.policies), 'policy', 'policies')}", style="bold")
    yield heading(view.source)
    if view.ignored:
        kinds = listed([f"{number} {kind}" for kind, number in view.ignored.items()], MOST_PEERS)
        yield Line(f"Other objects of the file do not count: {kinds}.")
    yield Line()
    for each in view.policies:
        yield from _policy(each)
    yield from _rows("Become possible", "possible", view.changes, STYLES["good"])
    yield from _rows("Are cut", "cut", view.changes, STYLES["fail"])
    if view.dns:
        yield Line()
        text = f"{peers_text(view.dns)} can no longer query the cluster's DNS"
        yield Line(text, "DNS", style=STYLES["fail"])
    yield from _rows("Become inconclusive", "inconclusive", view.changes, STYLES["warn"])
    if not view.changes:
        yield Line()
        said = "No connection changes." if view.decided else "No connection can be decided."
        yield Line(said, style="" if view.decided else STYLES["error"])
    if view.remaining:
        yield Line()
        yield Line("Inconclusive before and afterwards:", style="bold")
        yield from reason_lines(view.remaining)
    if view.undefined:
        yield Line()
        yield from (Line(each, "inconclusive") for each in view.undefined)


def _policy(each: PreviewedPolicyView) -> Iterator[Line]:
    types = ", ".join(each.types)
    yield Line(f"NetworkPolicy {each.namespace}/{each.name} ({types})", each.action)
    yield from (Line(pods.text, "  selects") for pods in each.selected)
    if not each.selected:
        yield Line("no running pod", "  selects", style=STYLES["warn"])


def _rows(title: str, part: str, changes: Sequence[EffectView], style: str) -> Iterator[Line]:
    rows = [each for each in changes if getattr(each, part) != NONE]
    if not rows:
        return
    yield Line()
    yield Line(f"{title}:", style="bold")
    for each in rows[:MOST_ROWS]:
        yield Line(f"{peers_text(each.sources)} to {peers_text(each.targets)}", "from")
        yield Line(shortened(getattr(each, part), LONGEST), "  ports", style=style)
        if services := each.services[part]:
            yield Line(listed(services, MOST_PEERS), "  Services")
        yield from reason_lines(each.reasons)
    if rows[MOST_ROWS:]:
        yield Line(f"{len(rows) - MOST_ROWS:,} more; -o json has all", "…")
