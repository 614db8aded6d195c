"""Which connections a rule of an admin policy matches."""

from __future__ import annotations

from collections.abc import Mapping

from wirecheck.api_index.network_policy import NAMESPACE_NAME
from wirecheck.policy.peers import NamedPort, Outside, Peer, PodClass
from wirecheck.policy.ports import ALL_PORTS, LAST, PortSet
from wirecheck.policy.rules import Matched, Namespaces
from wirecheck.policy.selection import Match, match
from wirecheck.snapshot.objects.admin_rules import AdminPeer, AdminPort, AdminRule
from wirecheck.snapshot.objects.network_policy import LabelSelector

BY_NAME = "the addresses of domain names are not known"
NODES = "the labels of nodes are not compared"
OF_NODES = "whether a network covers the address of the node is not known"
ONE_FAMILY = "pods have addresses of two families, and a network covers one"
LABELS = "labels of a namespace, or an operator of a selector, are not known"


def matches_rule(
    rule: AdminRule, peer: Peer, namespaces: Namespaces, *, dual_stack: bool
) -> Matched:
    """Whether a peer of the rule matches, and why it cannot be decided if it may."""
    found = [_matches(each, peer, namespaces, dual_stack=dual_stack) for each in rule.peers]
    best = max(result for result, _ in found)
    return best, next(reason for result, reason in found if result is best)


def _matches(each: AdminPeer, peer: Peer, namespaces: Namespaces, *, dual_stack: bool) -> Matched:
    if each.by_name:
        # Pods and nodes have no names outside; whatever is outside may have one.
        return (Match.MAYBE, BY_NAME) if isinstance(peer, Outside) else (Match.NO, "")
    if each.networks:
        return _in_networks(each.networks, peer, dual_stack=dual_stack)
    if each.nodes is not None:
        return _is_node(each.nodes, peer)
    if isinstance(peer, Outside) or peer.on_host_network:
        return Match.NO, ""  # Selectors of pods leave out those on the host network.
    return selects_class(each.namespaces, each.pods, peer, namespaces)


def selects_class(
    of_namespaces: LabelSelector | None,
    pods: LabelSelector | None,
    peer: PodClass,
    namespaces: Namespaces,
) -> Matched:
    """Whether the selectors match the pods of a class; None matches all."""
    labels = namespaces.get(peer.namespace)
    known: Mapping[str, str] = {
        **(labels or {}),
        NAMESPACE_NAME: peer.namespace,
    }
    result = Match.YES
    if of_namespaces is not None:
        result = match(of_namespaces, known, complete=labels is not None)
    if pods is not None:
        result = min(result, match(pods, dict(peer.labels)))
    return result, LABELS if result is Match.MAYBE else ""


def _in_networks(networks: list[str], peer: Peer, *, dual_stack: bool) -> Matched:
    if isinstance(peer, PodClass) and not peer.namespace:
        return Match.MAYBE, OF_NODES
    if peer.covered_by.isdisjoint(networks):
        return Match.NO, ""
    is_mixed = dual_stack and isinstance(peer, PodClass)
    return (Match.MAYBE, ONE_FAMILY) if is_mixed else (Match.YES, "")


def _is_node(nodes: LabelSelector, peer: Peer) -> Matched:
    if isinstance(peer, Outside) or not peer.on_host_network:
        return Match.NO, ""
    is_any = not nodes.match_labels and not nodes.match_expressions
    return (Match.YES, "") if is_any else (Match.MAYBE, NODES)


def ports_of_rule(rule: AdminRule, target: Peer) -> tuple[PortSet, PortSet]:
    """The ports of the target that the rule is about, and those that it may be about."""
    if rule.ports is None:
        return ALL_PORTS, PortSet()
    named = target.named_ports if isinstance(target, PodClass) else frozenset()
    sure, unsure = PortSet(), PortSet()
    for each in rule.ports:
        if not each.name:
            sure |= PortSet(((each.protocol, each.first, each.last),))
        else:
            ports, is_sure = _named(each, named)
            sure, unsure = (sure | ports, unsure) if is_sure else (sure, unsure | ports)
    return sure, unsure - sure


def _named(each: AdminPort, named: frozenset[NamedPort]) -> tuple[PortSet, bool]:
    """The ports with the name, and whether every enforcer takes the same ones."""
    found = [e for e in named if e.name == each.name and 1 <= e.number <= LAST]
    ports = PortSet.of((e.protocol, e.number, e.number) for e in found)
    is_sure = len(found) <= 1 and not any(e.is_sidecars for e in found)
    return ports, is_sure
