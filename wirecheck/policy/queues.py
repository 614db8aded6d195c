"""Queues by which rules hand packets to a program that decides, and whether a program listens.

Enforcers such as kube-network-policies, which kindnet contains, decide in user space.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wirecheck.dataplane.rules.steps import BY_PROGRAM, Action, Opaque, Step

LISTENERS = "/proc/net/netfilter/nfnetlink_queue"
"""One line for each queue to which a program listens, which begins with its number."""
NUMBER = r"(\d{1,5})\b"
OF_IPTABLES = re.compile(rf"-j NFQUEUE\b(?:.*--queue-(?:num {NUMBER}|balance {NUMBER}:{NUMBER}))?")
OF_NFTABLES = re.compile(
    rf'"queue": \{{.*?"num": (?:{NUMBER}|\{{"range": \[{NUMBER}, {NUMBER}\]\}})|\bqueue$'
)
BYPASS = re.compile(r"--queue-bypass\b|\bbypass\b")
HIGHEST = 65535


@dataclass(frozen=True, slots=True)
class Queue:
    """A queue to which a rule hands packets; `last` is that of the last one of several."""

    first: int
    last: int
    is_bypassed: bool
    """Whether packets pass if no program listens; otherwise the kernel drops them."""
    rule: str

    @property
    def name(self) -> str:
        """`queue 100`, `queues 0 to 3`."""
        if self.first == self.last:
            return f"queue {self.first}"
        return f"queues {self.first} to {self.last}"


def queues_of(steps: Iterable[Step]) -> Iterator[Queue]:
    """The queues of these rules, each once."""
    known = set()
    for step in steps:
        if not any(map(_is_programs, step.actions)):
            continue
        queue = queue_of(step.text)
        if queue is not None and (queue.first, queue.last) not in known:
            known.add((queue.first, queue.last))
            yield queue


def _is_programs(action: Action) -> bool:
    return isinstance(action, Opaque) and action.text.startswith(BY_PROGRAM)


def queue_of(rule: str) -> Queue | None:
    """The queue of a rule as its tool prints it; None if the rule has none that can be read."""
    found = OF_IPTABLES.search(rule) or OF_NFTABLES.search(rule)
    if found is None:
        return None
    numbers = [int(each) for each in found.groups() if each]
    first, last = (numbers or [0])[0], (numbers or [0])[-1]
    if not 0 <= first <= last <= HIGHEST:
        return None
    return Queue(first, last, bool(BYPASS.search(rule)), rule)


def unheard(queues: Iterable[Queue], listeners: str) -> Iterator[Queue]:
    """The queues of which at least one has no listener, by the text of LISTENERS."""
    words = (line.split() for line in listeners.splitlines())
    bound = {int(each[0]) for each in words if each and re.fullmatch(NUMBER, each[0])}
    for each in queues:
        if not bound.issuperset(range(each.first, each.last + 1)):
            yield each
