"""Which policies take effect on a node: what is kept of each node to compare it with the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.network_policy import name_of
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.node.seen import NodeSeen
from wirecheck.policy.enforcement import PolicyEnforcement
from wirecheck.policy.peers import PodClass
from wirecheck.policy.queues import LISTENERS, Queue, unheard
from wirecheck.policy.reach import union
from wirecheck.policy.selection import Match
from wirecheck.policy.undefined import Undefined, undefined_on
from wirecheck.policy.ways import Followed

MOST_PODS = 20


@dataclass(frozen=True, slots=True)
class PoliciesOnNode:
    """The NetworkPolicies that select pods of one node, by whether they take effect there."""

    unknown: str = ""
    """Why it is not known; empty if it is."""
    has_enforcer: bool = False
    """Whether a known program enforces policies on the node, or rules are about single pods."""
    in_effect: frozenset[str] = frozenset()
    """Policies because of which something is refused, or a program gets packets."""
    without_effect: Mapping[str, tuple[Ref, ...]] = field(default_factory=dict)
    """Policies all of whose pods on the node get everything that the policies deny, with them."""
    undecided: Mapping[str, str] = field(default_factory=dict)
    """Policies of which it is not known whether they take effect, and why."""
    unheard: tuple[Queue, ...] = ()
    """Queues of packets to programs, without a program."""
    agent: Mapping[str, str] = field(default_factory=dict)
    """The pod of the agent, by its names in remedies."""
    undefined: Mapping[Undefined, str] = field(default_factory=dict)
    """What the node does with connections that the API leaves undefined."""

    @property
    def selecting(self) -> bool:
        """Whether policies that deny something select pods of the node."""
        return bool(self.in_effect or self.without_effect or self.undecided)


def policies_on(of: PolicyEnforcement, agent: Mapping[str, str]) -> PoliciesOnNode:
    """What the node does with the policies that select its pods."""
    try:
        return _known(of, agent)
    except (FactMissingError, NotApplicable) as reason:
        return PoliciesOnNode(unknown=str(reason))


def _known(of: PolicyEnforcement, agent: Mapping[str, str]) -> PoliciesOnNode:
    of.require_enforcer()
    followed = _by_policy(of)
    without = {name: pods for name, pods in followed.items() if all(e.is_open for e in pods)}
    if without and not of.has_enforcer:
        _require_no_programs(of)
    rest = {name: pods for name, pods in followed.items() if name not in without}
    undecided = {name: why for name, pods in rest.items() if (why := _why_undecided(pods))}
    queues = () if of.has_enforcer or not undecided else of.filters.queues
    listeners = of.seen.files.get(LISTENERS)
    if queues and listeners is None:
        undecided = dict.fromkeys(undecided, _unread(of.seen, queues))
    elif queues:
        # The program decides about the packets, and nothing shows what it refuses.
        undecided = {}
    return PoliciesOnNode(
        has_enforcer=of.has_enforcer,
        in_effect=frozenset(rest.keys() - undecided.keys()),
        without_effect={name: _pods(each) for name, each in without.items()},
        undecided=undecided,
        unheard=tuple(unheard(queues, listeners)) if listeners is not None else (),
        agent=agent,
        undefined=undefined_on(of) if of.has_enforcer else {},
    )


def _by_policy(of: PolicyEnforcement) -> Mapping[str, Sequence[Followed]]:
    """The connections of the pods that each policy isolates, if policies deny any."""
    return grouped(
        (name, each)
        for each in of.all_followed
        if each.way.denied_elsewhere
        for name in _selecting(of, each)
    )


def _why_undecided(followed: Sequence[Followed]) -> str:
    """Why nothing is certainly refused of what policies deny; empty if something is."""
    denied = [
        each.fates.refused & each.way.denied_elsewhere & ~each.fates.undecided for each in followed
    ]
    if any(denied):
        return ""
    open_ = (each for each in followed if not each.is_open)
    return next(
        each.fates.reason(each.fates.undecided & each.way.denied_elsewhere) for each in open_
    )


def _pods(followed: Sequence[Followed]) -> tuple[Ref, ...]:
    return tuple(dict.fromkeys(each.pod.ref for each in followed))[:MOST_PODS]


def _selecting(of: PolicyEnforcement, each: Followed) -> Iterator[str]:
    """The NetworkPolicies that isolate the pod for the direction, if they deny anything.

    What only admin policies deny says nothing about them.
    """
    subject = each.way.subject.peer
    assert isinstance(subject, PodClass)
    if not any(reach.denied_ports - union(reach.denied) for reach in dict.fromkeys(each.way.own)):
        return
    for policy, result in of.pods.expected.isolation.selecting(subject, each.way.direction):
        if result is Match.YES:
            yield name_of(policy)


def _require_no_programs(of: PolicyEnforcement) -> None:
    """Raise NotApplicable if eBPF programs of pods' devices may enforce policies."""
    seen = of.seen
    programs = seen.host.record.programs
    if programs is None:
        raise NotApplicable("programs of interfaces, which may enforce policies, were not read")
    devices = {each.outer.index for each in of.namespaces.veths if each.outer is not None}
    on_pods = (each.netns.record.programs or () for each in of.namespaces.veths)
    if any(each.index in devices for each in programs) or any(on_pods):
        raise NotApplicable(
            f"programs on the interfaces of pods of {seen.name} may enforce policies; what they "
            "refuse is not read"
        )


def _unread(seen: NodeSeen, queues: Iterable[Queue]) -> str:
    names = ", ".join(each.name for each in queues)
    return f"whether a program of {seen.name} gets the packets of {names} was not read"
