"""Whether the NetworkPolicies of a pod certainly allow its DNS queries.

Policies add up: what one of them allows is allowed. A failed query is excused by a policy only if
no policy certainly allows it. What depends on something unknown, such as the labels of a namespace,
is not certain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from wirecheck.addresses import IPAddress, api_network, contains
from wirecheck.api_index.network_policy import NAMESPACE_NAME, selects
from wirecheck.snapshot.objects.network_policy import (
    EgressRule,
    IpBlock,
    LabelSelector,
    NetworkPolicyObject,
    PolicyPeer,
    PolicyPort,
)
from wirecheck.snapshot.objects.pod import PodObject


@dataclass(frozen=True, slots=True)
class DnsDestination:
    """Where a query arrives: after the translation of a Service's address."""

    address: IPAddress
    port: int
    protocol: str
    """UDP, TCP."""
    pod: PodObject | None = None
    """None if a node has the address, or something outside the cluster."""


def allows(
    policies: Iterable[NetworkPolicyObject],
    destinations: Sequence[DnsDestination],
    *,
    blocks_apply: bool,
) -> bool:
    """Whether the policies of a pod certainly allow queries to all destinations.

    `blocks_apply` is whether an ipBlock applies to pods: Cilium's does not.
    """
    rules = [(each, rule) for each in policies for rule in each.spec.egress or ()]
    return all(
        any(_allows(policy, rule, each, blocks_apply=blocks_apply) for policy, rule in rules)
        for each in destinations
    )


def _allows(
    policy: NetworkPolicyObject, rule: EgressRule, to: DnsDestination, *, blocks_apply: bool
) -> bool:
    if rule.ports and not any(_is_port(each, to) for each in rule.ports):
        return False
    return not rule.to or any(
        _is_peer(policy, each, to, blocks_apply=blocks_apply) for each in rule.to
    )


def _is_port(port: PolicyPort, to: DnsDestination) -> bool:
    if port.protocol != to.protocol:
        return False
    if isinstance(port.port, int):
        return port.port <= to.port <= (port.end_port or port.port)
    if port.port is None:
        return True
    return to.pod is not None and any(
        (each.name, each.protocol, each.container_port) == (port.port, to.protocol, to.port)
        for container in to.pod.spec.containers
        for each in container.ports
    )


def _is_peer(
    policy: NetworkPolicyObject, peer: PolicyPeer, to: DnsDestination, *, blocks_apply: bool
) -> bool:
    if peer.ip_block is not None:
        return (to.pod is None or blocks_apply) and _is_in(peer.ip_block, to.address)
    # Selectors do not apply to pods on the host network: their addresses are their node's.
    if to.pod is None or to.pod.spec.host_network:
        return False
    meta = to.pod.metadata
    if peer.namespace_selector is None:
        is_there = meta.namespace == policy.metadata.namespace
    else:
        is_there = _certainly_selects(peer.namespace_selector, meta.namespace)
    return is_there and (peer.pod_selector is None or selects(peer.pod_selector, meta.labels))


def _is_in(block: IpBlock, address: IPAddress) -> bool:
    known, excluded = api_network(block.cidr), [api_network(each) for each in block.excluded]
    if known is None or None in excluded:
        return False
    outside = [each for each in excluded if each is not None]
    return contains([known], address) and not contains(outside, address)


def _certainly_selects(selector: LabelSelector, namespace: str) -> bool:
    """Whether it selects the namespace by its name, the only label that is known."""
    keys = {*selector.match_labels, *(each.key for each in selector.match_expressions)}
    return keys <= {NAMESPACE_NAME} and selects(selector, {NAMESPACE_NAME: namespace})
