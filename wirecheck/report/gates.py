"""Waivers and waiting, in words that every report uses."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.results.records import RunEnded, Wait, WaiverRecord
from wirecheck.text import duration, plural


def waiver_sentence(waiver: WaiverRecord) -> str:
    """`conntrack.* at edge-*: covers 2 findings (replaced soon; net team, until 2027-01-31)`."""
    findings = plural(waiver.findings, "finding")
    became = {
        "used": f"covers {findings}",
        "unused": "covers nothing: remove it, or check its spelling",
        "expired": f"has expired and no longer covers {findings}",
        "not asked": "does not apply: none of its checks was run",
    }[waiver.state]
    return (
        f"{waiver.check} at {waiver.where}: {became} "
        f"({waiver.reason}; {waiver.owner}, until {waiver.until})"
    )


def waivers_needing_attention(ended: RunEnded) -> Iterator[WaiverRecord]:
    """The waivers that need a change, the expired ones first."""
    for state in ("expired", "unused"):
        yield from (waiver for waiver in ended.waivers if waiver.state == state)


def wait_sentence(wait: Wait) -> str:
    """`Waited 2 min 5 s of at most 10 min 0 s, checked 4 times: 3 items healed`."""
    healed = plural(len(wait.healed), "item") + " healed"
    return (
        f"Waited {duration(wait.seconds)} of at most {duration(wait.limit)}, checked "
        f"{plural(wait.rounds, 'time')}: {healed}"
    )


def healing_sentences(wait: Wait) -> list[str]:
    """`nodes.ready on w2 was healthy after 1 min 20 s`, the slowest first."""
    return [
        f"{each.check} on {each.node or 'the cluster'} was healthy after {duration(each.seconds)}"
        for each in sorted(wait.healed, key=lambda each: -each.seconds)
    ]
