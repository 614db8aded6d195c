"""What was accepted and what was waited for, in words that every report uses."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.results.records import RunEnded, Wait, WaiverRecord
from wirecheck.text import duration, plural


def waiver_sentence(waiver: WaiverRecord) -> str:
    """`conntrack.* at edge-*: covers 2 findings (replaced soon; net team, until 2027-01-31)`."""
    findings = plural(waiver.findings, "finding")
    became = {
        "used": f"covers {findings}",
        "unused": "covers nothing: remove it, or see whether it is misspelt",
        "expired": f"has expired: {findings} of its kind count again",
        "not asked": "was not asked for: none of its checks was judged",
    }[waiver.state]
    return (
        f"{waiver.check} at {waiver.where}: {became} "
        f"({waiver.reason}; {waiver.owner}, until {waiver.until})"
    )


def waivers_to_tell(ended: RunEnded) -> Iterator[WaiverRecord]:
    """Those that someone should look after, the expired ones first."""
    for state in ("expired", "unused"):
        yield from (waiver for waiver in ended.waivers if waiver.state == state)


def wait_sentence(wait: Wait) -> str:
    """`Waited 2 min 5 s in 4 rounds, at most 10 min 0 s: 3 items healed`."""
    healed = plural(len(wait.healed), "item") + " healed"
    return (
        f"Waited {duration(wait.seconds)} in {plural(wait.rounds, 'round')}, at most "
        f"{duration(wait.limit)}: {healed}"
    )


def healing_sentences(wait: Wait) -> list[str]:
    """`nodes.ready on w2 was healthy after 1 min 20 s`, the slowest first."""
    return [
        f"{each.check} on {each.node or 'the cluster'} was healthy after {duration(each.seconds)}"
        for each in sorted(wait.healed, key=lambda each: -each.seconds)
    ]
