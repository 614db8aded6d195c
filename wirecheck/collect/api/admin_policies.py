"""Reads the rules of admin policies: kinds of the API group policy.networking.k8s.io.

AdminNetworkPolicy and BaselineAdminNetworkPolicy are of version v1alpha1, ClusterNetworkPolicy of
v1alpha2 and later ones: https://network-policy-api.sigs.k8s.io.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

import msgspec

from wirecheck.addresses import api_network
from wirecheck.snapshot.objects.admin_rules import (
    ACCEPT,
    ADMIN,
    BASELINE,
    DENY,
    PASS,
    AdminPeer,
    AdminPort,
    AdminRule,
    AdminSpec,
)
from wirecheck.snapshot.objects.network_policy import LabelSelector

ACTIONS = {"Allow": ACCEPT, "Accept": ACCEPT, "Deny": DENY, "Pass": PASS}
TIERS = {"AdminNetworkPolicy": ADMIN, "BaselineAdminNetworkPolicy": BASELINE}
PROTOCOLS = {"tcp": "TCP", "udp": "UDP", "sctp": "SCTP"}
LAST = 65535
ODD = (msgspec.ValidationError, ValueError, TypeError, KeyError, AttributeError)
"""What reading raises if a policy does not have the form of its kind."""
MOST_RULES, MOST_MEMBERS = 100, 100
"""As many rules of one direction, and peers or ports of a rule, as the API accepts in any version.
"""


def admin_spec(spec: Mapping[str, Any], kind: str) -> AdminSpec | None:
    """The rules of a policy; None if a part of it is not recognised."""
    try:
        tier = TIERS.get(kind) or {ADMIN: ADMIN, BASELINE: BASELINE}[spec["tier"]]
        priority = spec.get("priority", 0)
        if not isinstance(priority, int):
            return None
        return AdminSpec(
            tier, priority, list(_rules(spec, "ingress")), list(_rules(spec, "egress"))
        )
    except ODD:
        return None


def _rules(spec: Mapping[str, Any], direction: str) -> Iterator[AdminRule]:
    key = {"ingress": "from", "egress": "to"}[direction]
    for each in _members(spec.get(direction), MOST_RULES):
        _require_known(each, {"name", "action", key, "ports", "protocols"})
        peers = [_peer(peer) for peer in _members(each[key], MOST_MEMBERS)]
        ports = each.get("ports") or each.get("protocols")
        yield AdminRule(
            ACTIONS[each["action"]],
            peers or _refuse(key),
            [_port(port) for port in _members(ports, MOST_MEMBERS)] if ports else None,
        )


def _members(value: Any, most: int) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list) or len(value) > most:
        _refuse(value)
    return list(value)


def _peer(peer: Mapping[str, Any]) -> AdminPeer:
    ((kind, value),) = peer.items()
    match kind:
        case "namespaces":
            return AdminPeer(namespaces=_selector(value))
        case "pods":
            _require_known(value, {"namespaceSelector", "podSelector"})
            own = _selector(value["namespaceSelector"]), _selector(value["podSelector"])
            return AdminPeer(namespaces=own[0], pods=own[1])
        case "nodes":
            return AdminPeer(nodes=_selector(value))
        case "networks":
            networks = [str(each) for each in _members(value, MOST_MEMBERS)]
            if not all(map(api_network, networks)):
                _refuse(networks)
            return AdminPeer(networks=networks or _refuse(kind))
        case "domainNames":
            return AdminPeer(by_name=True)
    raise ValueError(kind)


def _port(port: Mapping[str, Any]) -> AdminPort:
    """`{portNumber: {protocol: TCP, port: 80}}` of v1alpha1, `{tcp: {destinationPort: …}}`."""
    ((kind, value),) = port.items()
    match kind:
        case "namedPort" | "destinationNamedPort":
            return AdminPort(name=value if isinstance(value, str) and value else _refuse(value))
        case "portNumber":
            return _range(value.get("protocol") or "TCP", value["port"], value["port"])
        case "portRange":
            return _range(value.get("protocol") or "TCP", value["start"], value["end"])
    protocol, to = PROTOCOLS[kind], (value or {}).get("destinationPort")
    if to is None:
        return _range(protocol, 1, LAST)
    _require_known(to, {"number", "range"})
    if span := to.get("range"):
        return _range(protocol, span["start"], span["end"])
    return _range(protocol, to["number"], to["number"])


def _range(protocol: str, first: Any, last: Any) -> AdminPort:
    numbers = isinstance(first, int) and isinstance(last, int) and 1 <= first <= last <= LAST
    if protocol not in PROTOCOLS.values() or not numbers:
        _refuse(protocol)
    return AdminPort(protocol, first, last)


def _selector(value: Any) -> LabelSelector:
    _require_known(value, {"matchLabels", "matchExpressions"})
    return msgspec.convert(value, LabelSelector)


def _require_known(value: Mapping[str, Any], known: set[str]) -> None:
    if not value.keys() <= known:
        _refuse(value)


def _refuse(value: object) -> NoReturn:
    raise ValueError(value)
