"""What the API server refuses in a NetworkPolicy."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.addresses import IPNetwork, api_network
from wirecheck.policy.peers import peers_of
from wirecheck.policy.ports import LAST, PROTOCOLS
from wirecheck.snapshot.objects.network_policy import (
    IpBlock,
    LabelSelector,
    NetworkPolicyObject,
    PolicyPeer,
    PolicyPort,
)

OPERATORS = {"In": True, "NotIn": True, "Exists": False, "DoesNotExist": False}
"""The operators of a selector, and whether each needs values."""


def problems_of(policy: NetworkPolicyObject) -> Iterator[str]:
    """What the API server would refuse: the sentences without a full stop."""
    spec = policy.spec
    for each in spec.policy_types:
        if each not in ("Ingress", "Egress"):
            yield f"the policy type {each} does not exist"
    yield from _of_selector(spec.pod_selector)
    for rule in (*(spec.ingress or ()), *(spec.egress or ())):
        for port in rule.ports:
            yield from _of_port(port)
    for peer in peers_of([policy]):
        yield from _of_peer(peer)


def _of_port(each: PolicyPort) -> Iterator[str]:
    if each.protocol not in PROTOCOLS:
        yield f"the protocol {each.protocol} is not TCP, UDP or SCTP"
    if isinstance(each.port, str):
        if each.end_port is not None:
            yield f"endPort needs a number as its port, not {each.port}"
        return
    if each.port is None:
        if each.end_port is not None:
            yield "endPort needs a port"
        return
    if not 1 <= each.port <= LAST:
        yield f"{each.port} is not a port"
    elif each.end_port is not None and not each.port <= each.end_port <= LAST:
        yield f"the endPort {each.end_port} does not close a range from {each.port}"


def _of_peer(peer: PolicyPeer) -> Iterator[str]:
    selectors = [each for each in (peer.pod_selector, peer.namespace_selector) if each is not None]
    if peer.ip_block is None and not selectors:
        yield "a peer needs a podSelector, a namespaceSelector or an ipBlock"
    if peer.ip_block is not None:
        if selectors:
            yield "a peer with an ipBlock cannot have a selector"
        yield from _of_block(peer.ip_block)
    for each in selectors:
        yield from _of_selector(each)


def _of_block(block: IpBlock) -> Iterator[str]:
    range_ = api_network(block.cidr)
    if range_ is None:
        yield f"{block.cidr!r} is not a range of addresses"
        return
    for text in block.excluded:
        excluded = api_network(text)
        if excluded is None:
            yield f"{text!r} is not a range of addresses"
        elif not _is_strictly_within(excluded, range_):
            yield f"the exception {text} is not a smaller range within {block.cidr}"


def _is_strictly_within(inner: IPNetwork, outer: IPNetwork) -> bool:
    return (
        inner.version == outer.version
        and inner.prefixlen > outer.prefixlen
        and inner.network_address in outer
    )


def _of_selector(selector: LabelSelector) -> Iterator[str]:
    for each in selector.match_expressions:
        needs_values = OPERATORS.get(each.operator)
        if needs_values is None:
            yield f"the operator {each.operator} does not exist"
        elif needs_values and not each.values:
            yield f"the operator {each.operator} of {each.key} needs values"
        elif not needs_values and each.values:
            yield f"the operator {each.operator} of {each.key} takes no values"
