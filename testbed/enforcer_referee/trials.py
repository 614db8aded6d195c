"""Mutations in the node's kernel: the checks report each of them, or it does no harm."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from testbed.enforcer_referee.bench import PolicyBench
from testbed.enforcer_referee.comparing import (
    PORTS,
    REFUSED,
    UNKNOWN,
    Comparison,
    Connection,
    Places,
    decision,
)
from testbed.enforcer_referee.findings import due, reported
from testbed.enforcer_referee.mutations import (
    RULES,
    SETS,
    Mutation,
    filter_table,
    mutate,
    text_of,
)
from testbed.enforcer_referee.packets import Sender
from testbed.referee.dice import Dice
from testbed.referee.results import Tally
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.policy.reach import Decision

MOST_PACKETS = 400
"""Of the connections that a mutation changes, and of all."""
NOTHING = "no first packet is treated otherwise, as packets show"
UNDEFINED = "it changes only what the API leaves undefined"
BETTER = "the node then does what the policies say"
INCONCLUSIVE = "the checks are inconclusive about what it changes"
OUTSIDE = "it closes only addresses outside, about which no policy says anything"


@contextmanager
def applied(bench: PolicyBench, mutation: Mutation, rules: str) -> Iterator[None]:
    """The mutation in the node's kernel during the block."""
    try:
        _restore(bench, mutation.rules, mutation.sets)
        yield
    finally:
        before = f"{text_of(filter_table(rules))}COMMIT\n" if mutation.rules else ""
        _restore(bench, before, mutation.undo)


def _restore(bench: PolicyBench, rules: str, sets: str) -> None:
    file = bench.node.log_file.with_name("restored")
    for text, command in ((rules, "iptables-nft-restore"), (sets, "ipset restore -exist")):
        if text:
            file.write_text(text)
            bench.node.world.run(f"{command} < {file}")


@dataclass(frozen=True)
class Trials:
    """Tries mutations, and counts what comes out."""

    dice: Dice
    bench: PolicyBench
    sender: Sender
    tally: Tally

    def missed(self, seen: Comparison, count: int) -> Iterator[str]:
        """Try some mutations of a settled scene; yields those that are missed."""
        texts = [seen.sight.document.commands[name].output for name in (RULES, SETS)]
        done = 0
        while done < count:
            mutation = mutate(self.dice, *texts)
            if mutation is None:
                continue
            done += 1
            with applied(self.bench, mutation, texts[0]):
                why = self._verdict(seen, Comparison(seen.scene, self.bench.look()))
            if why:
                self.tally.missed += 1
                yield f"missed: {mutation.kind}: {mutation.what.strip()}: {why}"

    def _verdict(self, before: Comparison, after: Comparison) -> str:
        """Why the mutation is missed; empty if it is reported or harmless, which is counted."""
        changed = [each for each in after.places if before.fate(*each) != after.fate(*each)]
        wrong = self._misread(after, changed) or self._misread(after, after.places)
        if wrong:
            return f"the kernel treats a packet otherwise than its rules are read: {wrong[0]}"
        if (found := _found(after)) is None:
            is_reported = bool(after.sight.node.policies.without_effect)
        elif found != due(after):
            return f"the checks report otherwise than each connection: {found ^ due(after)}"
        else:
            is_reported = bool(due(after, changed))
        if is_reported:
            self.tally.reported += 1
        else:
            why = _reason(after, changed)
            self.tally.harmless[why] = self.tally.harmless.get(why, 0) + 1
        return ""

    def _misread(self, after: Comparison, among: Places) -> list[Connection]:
        return self.sender.misread(after, among, MOST_PACKETS, self.dice)


def _found(after: Comparison) -> set[object] | None:
    """What the checks of single pods report; None if nothing enforces policies any more.

    `policy.enforced` reports that then.
    """
    try:
        return {*reported(after)}
    except NotApplicable:
        return None


def _reason(after: Comparison, changed: Places) -> str:
    """Why a mutation that no check reports does no harm."""
    if not changed:
        return NOTHING
    if any(after.fate(*each) == UNKNOWN for each in changed):
        return INCONCLUSIVE
    decisions = [(decision(after.reaches_of(at), PORTS[n]), after.fate(at, n)) for at, n in changed]
    if (Decision.ALLOWED, REFUSED) in decisions:
        return OUTSIDE
    is_decided = any(wanted is not Decision.INCONCLUSIVE for wanted, _ in decisions)
    return BETTER if is_decided else UNDEFINED
