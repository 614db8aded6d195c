"""What the first round found, for a person who waits for the next one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wirecheck.results.ordering import FAILING
from wirecheck.results.records import ItemResult
from wirecheck.text import plural, shortened

MOST = 10
"""How many checks are listed."""
LONGEST = 200


def preliminary(items: Sequence[ItemResult]) -> Iterator[str]:
    """Yield lines about the checks that fail after the first round, the proven ones first."""
    failing: dict[str, list[ItemResult]] = {}
    for item in items:
        if item.outcome in FAILING and not item.folded:
            failing.setdefault(item.check, []).append(item)
    if not failing:
        return
    yield f"Preliminary, after round 1: {plural(len(failing), 'check')} failing."
    ordered = sorted(failing.values(), key=lambda each: not any(map(_is_proven, each)))
    for about in ordered[:MOST]:
        yield shortened(f"  {_line(about)}", LONGEST)
    if len(ordered) > MOST:
        yield f"  and {plural(len(ordered) - MOST, 'more check')}"


def _line(about: Sequence[ItemResult]) -> str:
    """`pods.ip_on_interface on w1 (preliminary): Pod shop/web-0: expected …, found …`."""
    first = next((each for each in about if _is_proven(each)), about[0])
    nodes = sorted({each.node for each in about} - {""})
    where = f" on {nodes[0]}" if len(nodes) == 1 else f" on {len(nodes):,} nodes" if nodes else ""
    standing = "proven" if _is_proven(first) else "preliminary"
    head = f"{str(first.outcome).upper()} {first.check}{where} ({standing})"
    if not first.findings:
        return f"{head}: {first.reason}"
    finding = first.findings[0]
    return f"{head}: {finding.object}: expected {finding.expected}, found {finding.found}"


def _is_proven(item: ItemResult) -> bool:
    return any(each.proven for each in item.findings)
