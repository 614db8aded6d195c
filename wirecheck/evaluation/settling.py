"""From the findings of one check in all rounds to those that count. Pure.

A finding counts if the snapshot proves that it is old, or if every round has it. One that some
rounds lack is flaky, unless the snapshot shows that it was a change in flight.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import inf

from wirecheck.catalogue.findings import Finding, Level
from wirecheck.catalogue.registry import Check
from wirecheck.catalogue.settling import LATER, SOON, Evidence
from wirecheck.evaluation.round_result import Identity, RoundResult
from wirecheck.results.records import FlakyRounds
from wirecheck.snapshot.index import RoundRecord
from wirecheck.text import rfc3339

FAILURES = frozenset({Level.FAIL, Level.ERROR})


@dataclass(frozen=True, slots=True)
class Healed:
    """A finding that was there before helper pods were created, and not afterwards."""

    finding: Finding
    flaky: FlakyRounds | None
    """None if it counts as one round's finding does without helper pods."""
    is_proven: bool
    """Whether the snapshot proved at that time that it was old."""
    is_gone: bool
    """Whether later rounds could show that it is gone."""


@dataclass
class Settled:
    """The findings of one check in all rounds."""

    lasting: dict[Identity, Finding] = field(default_factory=dict)
    """Those that every round has, or that are proven."""
    proven: set[Identity] = field(default_factory=set)
    """Those of `lasting` that the snapshot proves to be old."""
    moving: dict[Identity, tuple[Finding, str]] = field(default_factory=dict)
    """Those that every round of several has, while something changed that may explain them."""
    undecided: dict[Identity, Finding] = field(default_factory=dict)
    """Those about objects that changed during the only round."""
    flaky: dict[Identity, tuple[Finding, FlakyRounds]] = field(default_factory=dict)
    healed: dict[Identity, Healed] = field(default_factory=dict)
    """Those that only the round before helper pods were created has."""
    unconfirmed: dict[Identity, Finding] = field(default_factory=dict)
    """Those that need proof and have none."""
    unknown_before: str = ""
    """Why that round could not show what the later ones show; empty if it could."""
    has_any: bool = False
    """Whether any round has a finding, transient ones included."""
    left: float = 0.0
    """Seconds until a further round may prove what is open; infinite if none can."""
    revisited: frozenset[str] = frozenset()
    """The other nodes that a further round has to visit."""


def settled(check: Check, rounds: Sequence[RoundResult]) -> Settled:
    """Sort the findings of all rounds. A check that does not settle has one round."""
    result = Settled()
    for identity, finding in _all(rounds):
        result.has_any = True
        if check.settles and any(is_proven(check, rounds[: n + 1], identity) for n in _of(rounds)):
            result.proven.add(identity)
            result.lasting[identity] = finding
        else:
            if check.only_proven:
                result.unconfirmed[identity] = finding
            else:
                _sort(result, rounds, identity, finding)
            if check.settles and rounds[-1].has(identity):
                result.left = max(result.left, _left(check, rounds, identity))
                result.revisited |= rounds[-1].revisited.get(identity, frozenset())
    return result


def _sort(
    result: Settled, rounds: Sequence[RoundResult], identity: Identity, finding: Finding
) -> None:
    having = [each for each in rounds if each.has(identity)]
    if len(having) < len(rounds):
        is_transient = len(having) == 1 and is_in_flight(having[0], identity)
        is_gone = any(each.skip for each in rounds)
        if finding.level in FAILURES and not (is_transient or is_gone):
            result.flaky[identity] = (finding, flaky_rounds(rounds, identity))
    elif len(rounds) > 1 and (start := rounds[-1].age(identity).start):
        # Pods and rules come back for minutes, and the next run can tell.
        result.moving[identity] = (finding, start)
    elif all(identity in each.findings for each in rounds):
        result.lasting[identity] = finding
    elif len(rounds) > 1:
        result.moving[identity] = (finding, "the object kept changing")
    else:
        result.undecided[identity] = finding


def _all(rounds: Sequence[RoundResult]) -> Iterator[tuple[Identity, Finding]]:
    """Yield each finding once, as the first round shows it."""
    known: set[Identity] = set()
    for each in rounds:
        for identity, finding in {**each.findings, **each.undecided}.items():
            if identity not in known:
                known.add(identity)
                yield identity, finding


def _of(rounds: Sequence[RoundResult]) -> range:
    return range(len(rounds))


def is_proven(check: Check, rounds: Sequence[RoundResult], identity: Identity) -> bool:
    """Whether the last of the rounds, with those before it, proves that the finding is old."""
    *before, last = rounds
    if identity in last.findings and last.findings[identity].settled:
        return True
    if not check.evidence or identity not in last.findings or last.age(identity).left > 0:
        return False
    earlier = [each.record for each in before if identity in each.findings]
    return _until_repeated(check, earlier, last.record.started) <= 0


def _left(check: Check, rounds: Sequence[RoundResult], identity: Identity) -> float:
    """Seconds after the last round until a further one may prove the finding."""
    having = [each.record for each in rounds if each.has(identity)]
    last = rounds[-1]
    return max(last.age(identity).left, _until_repeated(check, having, last.record.finished))


def _until_repeated(check: Check, earlier: Sequence[RoundRecord], now: float) -> float:
    """Seconds until a round that has a finding again repeats it, if `earlier` ones have it.

    Infinite if the finding has to be repeated and no earlier round has it.
    """
    left = 0.0
    if Evidence.REPEATED in check.evidence:
        left = max(left, SOON - now + min((each.started for each in earlier), default=inf))
    if Evidence.PERSISTENT in check.evidence:
        left = max(left, LATER - now + min((each.finished for each in earlier), default=inf))
    return left


def is_in_flight(result: RoundResult, identity: Identity) -> bool:
    """Whether the round shows a recent change that explains the finding."""
    return identity in result.undecided or result.age(identity).is_changing


def flaky_rounds(rounds: Sequence[RoundResult], identity: Identity) -> FlakyRounds:
    """Which of the rounds have the finding."""
    having = [each for each in rounds if each.has(identity)]
    return FlakyRounds(
        rounds=[each.number for each in having],
        of=[each.number for each in rounds],
        first=rfc3339(having[0].record.started),
        last=rfc3339(having[-1].record.finished),
    )
