"""What a run showed, as a part of the referee's page."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from testbed.enforcer_referee.comparing import Kind
from testbed.marked_page import put_between
from testbed.referee.results import Tally, listed

BEGIN, END = "<!-- policy results -->", "<!-- end of policy results -->"
NONE = "- none\n"


@dataclass
class PolicyScore:
    """What one run showed so far."""

    version: str
    seed: int
    policies: int = 0
    """Different ones."""
    scenes: int = 0
    kinds: Counter[Kind] = field(default_factory=Counter)
    """Connections, by what came out."""
    flaws: Counter[str] = field(default_factory=Counter)
    """Connections that the enforcer treats otherwise than the API, by its flaw."""
    unreported: int = 0
    """Scenes in which the checks report something else than each connection shows."""
    packets: int = 0
    lost: int = 0
    """Packets that were treated otherwise than wirecheck reads the rules."""
    tally: Tally = field(default_factory=Tally)

    @property
    def disagreements(self) -> int:
        return self.kinds[Kind.WRONG] + self.unreported + self.lost

    @property
    def is_good(self) -> bool:
        """Whether something was compared, and nothing disagrees."""
        return bool(self.policies) and not (self.disagreements or self.tally.missed)


def as_page(score: PolicyScore) -> str:
    """Markdown: a table, the flaws, and why mutations were harmless."""
    date = datetime.now(UTC).date().isoformat()
    tally = score.tally
    connections = sum(score.kinds.values())
    row = (
        f"| kube-router {score.version} | {score.policies:,} | {score.scenes} | {connections:,}"
        f" | {score.kinds[Kind.UNDEFINED]:,} | {score.kinds[Kind.FLAW]:,} | {score.disagreements:,}"
        f" | {score.packets:,} | {tally.reported:,}, {sum(tally.harmless.values()):,},"
        f" {tally.missed:,} | {score.seed} | {date} |\n"
    )
    return (
        "| enforcer | policies | scenes | connections compared | undefined by the API"
        " | enforced otherwise | disagreements | packets sent"
        " | mutations: reported, harmless, missed | seed | date |\n"
        f"|---|---|---|---|---|---|---|---|---|---|---|\n{row}"
        f"\nEnforced otherwise than the API says, by the reason:\n\n{listed(score.flaws) or NONE}"
        f"\nHarmless mutations, by the reason:\n\n{listed(tally.harmless) or NONE}"
    )


def into_page(page: Path, score: PolicyScore) -> None:
    """Put the results between the marks of a Markdown page."""
    put_between(page, BEGIN, END, as_page(score))
