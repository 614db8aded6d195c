"""NetworkPolicies without effect, and nodes that treat the same connections differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.node_ref import node_ref
from wirecheck.catalogue.findings import Level, NotApplicable, Ref
from wirecheck.policy.peers import PodClass
from wirecheck.policy.policies_on_node import PoliciesOnNode
from wirecheck.policy.reach import Direction
from wirecheck.policy.undefined import Undefined
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.text import listed, plural

MOST_NAMES = 3
ENFORCE = (
    "Decide whether the cluster needs these policies: `kubectl get networkpolicies -A`. Find out "
    "what each would cut: `wirecheck inspect policy NAMESPACE/NAME`. Then add a program that "
    "enforces them: flannel and other plugins do not, and kube-router and Calico can do it beside "
    "another plugin."
)
LISTEN = (
    "Find out which program has to get these packets, and why it does not run on {node}: `kubectl "
    "get pods -A -o wide --field-selector spec.nodeName={node}`. If it was removed, remove its "
    "rules as its documentation describes."
)
OnNodes = Mapping[str, PoliciesOnNode]


@dataclass(frozen=True, slots=True)
class Unenforced:
    """Policies that have no effect, on one node or in the cluster, or may have none."""

    ref: Ref
    expected: str
    found: str = ""
    level: Level = Level.FAIL
    evidence: tuple[str, ...] = ()
    pods: tuple[Ref, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict)
    inconclusive: str = ""
    remedy: str = ""
    """Instead of the check's; empty for that."""
    settled: bool = False
    """Whether no change in flight can explain it: no agent is there that could be late."""


def unenforced(
    cluster: Ref, nodes: Mapping[str, NodeObject], seen: OnNodes
) -> Iterator[Unenforced]:
    """Yield the policies without effect: one for the cluster if nothing known enforces any.

    Raises NotApplicable if no policy that denies something selects a pod of a node that is known.
    """
    known = {name: each for name, each in sorted(seen.items()) if not each.unknown}
    selecting = {name: each for name, each in known.items() if each.selecting and name in nodes}
    if not selecting:
        whys = [each.unknown for each in seen.values() if each.unknown]
        raise NotApplicable(
            whys[0]
            if whys
            else "it is certain of no NetworkPolicy that it denies something to a pod"
        )
    if _has_none(known, selecting):
        yield _of_cluster(cluster, selecting)
        return
    for name, each in selecting.items():
        ref = node_ref(nodes[name])
        yield from _of_queues(ref, each)
        yield from _of_node(ref, each)


def _has_none(known: OnNodes, selecting: OnNodes) -> bool:
    """Whether nothing enforces policies, and nothing is expected to.

    Without a known enforcer, rules that somebody else has written may refuse what a few deny.
    """
    if any(each.agent for each in known.values()) or any(e.unheard for e in selecting.values()):
        return False
    with_effect = sum(len(e.in_effect) + len(e.undecided) for e in selecting.values())
    if any(each.has_enforcer for each in known.values()):
        return not with_effect
    return with_effect <= sum(len(each.without_effect) for each in selecting.values())


def _of_cluster(cluster: Ref, selecting: OnNodes) -> Unenforced:
    names = sorted({name for each in selecting.values() for name in each.without_effect})
    pods = {pod for each in selecting.values() for of in each.without_effect.values() for pod in of}
    return Unenforced(
        replace(cluster, part="NetworkPolicies"),
        "a program that enforces them",
        f"none that is known: {plural(len(pods), 'pod')} on "
        f"{listed(sorted(selecting), MOST_NAMES)} can be reached, or reach others, although "
        f"{listed(names, MOST_NAMES)} {'denies' if len(names) == 1 else 'deny'} it",
        Level.WARN,
        remedy=ENFORCE,
        settled=True,
    )


def _of_queues(ref: Ref, each: PoliciesOnNode) -> Iterator[Unenforced]:
    for queue in each.unheard:
        fate = "forwards" if queue.is_bypassed else "drops"
        yield Unenforced(
            replace(ref, part=f"packets for {queue.name}"),
            "a program that gets them and enforces NetworkPolicies",
            f"none: the kernel {fate} them",
            evidence=(queue.rule,),
            names={"node": ref.name},
            remedy=LISTEN,
        )


def _of_node(ref: Ref, each: PoliciesOnNode) -> Iterator[Unenforced]:
    for name, pods in each.without_effect.items():
        yield Unenforced(
            replace(ref, part=name),
            f"rules that refuse what it denies to {plural(len(pods), 'pod')}",
            f"{ref.name} forwards all of it",
            pods=pods,
            names=each.agent,
        )
    for name, why in each.undecided.items():
        yield Unenforced(replace(ref, part=name), "rules that refuse something", inconclusive=why)


@dataclass(frozen=True, slots=True)
class UnlikeNodes:
    """Connections that the API leaves undefined, and that some nodes forward and others refuse."""

    ref: Ref
    expected: str
    found: str


def unlike_nodes(cluster: Ref, seen: OnNodes) -> Iterator[UnlikeNodes]:
    """Yield such connections. Raises NotApplicable if no two nodes have any of them."""
    by_connections: dict[Undefined, dict[str, str]] = {}
    for name, each in sorted(seen.items()):
        for key, result in each.undefined.items():
            by_connections.setdefault(key, {})[name] = result
    comparable = {key: nodes for key, nodes in by_connections.items() if len(nodes) > 1}
    if not comparable:
        raise NotApplicable(
            "no two nodes with rules for single pods have connections that NetworkPolicies leave "
            "undefined"
        )
    for key, results in comparable.items():
        groups = grouped((result, name) for name, result in results.items())
        if len(groups) > 1:
            yield UnlikeNodes(
                replace(cluster, part=_name_of(key)),
                f"the same on all nodes: {key.reason}",
                _shown(groups),
            )


def _shown(groups: Mapping[str, tuple[str, ...]]) -> str:
    """`wc-w1: refused; wc-cp, wc-w2: forwarded`: the smallest group first."""
    ordered = sorted(groups.items(), key=lambda each: (len(each[1]), each))
    return "; ".join(f"{listed(names, MOST_NAMES)}: {result}" for result, names in ordered)


def _name_of(key: Undefined) -> str:
    from_to = "from" if key.direction is Direction.INGRESS else "to"
    return f"{_class(key.subject)} {from_to} {_class(key.peer)}, {key.ports}, IPv{key.family}"


def _class(of: PodClass) -> str:
    """`shop app=web`."""
    return " ".join([of.namespace, *(f"{k}={v}" for k, v in of.labels)])
