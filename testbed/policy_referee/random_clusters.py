"""Random clusters of a few namespaces, pods and NetworkPolicies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from testbed.referee.dice import Dice

Object = dict[str, Any]

ADMIN = "admin-policies"
"""The oracle for whose clusters admin policies are made."""

PROTOCOLS = ("TCP", "UDP", "SCTP")
NUMBERS = (80, 81, 443, 5432, 8080)
NAMES = ("http", "https", "db")
VALUES = {"app": ("a", "b", "c"), "tier": ("x", "y"), "team": ("r", "s", "t")}
NAMESPACES = ("one", "two", "three")
OUTSIDE = ("192.0.2.1", "192.0.2.130", "198.51.100.7", "203.0.113.9")
BLOCKS = (
    ("0.0.0.0/0", ("10.0.0.0/8", "192.0.2.0/24", "198.51.100.0/25")),
    ("192.0.2.0/24", ("192.0.2.128/25", "192.0.2.0/31")),
    ("198.51.100.0/24", ("198.51.100.128/25",)),
    ("10.244.0.0/16", ("10.244.1.0/24", "10.244.2.0/24")),
)
"""Ranges, and the exceptions that each may have."""


@dataclass(frozen=True, slots=True)
class RandomCluster:
    """Namespaces, pods and policies as the API shows them."""

    seed: int
    namespaces: tuple[Object, ...]
    pods: tuple[Object, ...]
    policies: tuple[Object, ...]
    admin: tuple[Object, ...] = ()
    """AdminNetworkPolicies and a BaselineAdminNetworkPolicy."""


def random_cluster(seed: int, *, oracle: str = "") -> RandomCluster:
    """The cluster of the seed; without what an oracle reads differently from the API."""
    dice = Dice(seed)
    namespaces = tuple(_namespace(dice, name) for name in NAMESPACES[: dice.randint(1, 3)])
    names = [each["metadata"]["name"] for each in namespaces]
    pods = tuple(_pod(dice, number, dice.choice(names)) for number in range(dice.randint(2, 7)))
    policies = tuple(
        policy(dice, number, dice.choice(names)) for number in range(dice.randint(1, 6))
    )
    if change := _CHANGES.get(oracle):
        policies = tuple(map(change, policies))
    admin = random_admin_policies(dice) if oracle == ADMIN else ()
    return RandomCluster(seed, namespaces, pods, policies, admin)


def random_admin_policies(dice: Dice) -> tuple[Object, ...]:
    """Some AdminNetworkPolicies, often with a baseline.

    Without named ports, with which the oracle lets every port match, and without labels of nodes.
    """
    found = [
        _admin_policy(dice, "AdminNetworkPolicy", f"admin-{number}")
        for number in range(dice.randint(0, 4))
    ]
    if dice.chance(0.6):
        found.append(_admin_policy(dice, "BaselineAdminNetworkPolicy", "default"))
    return tuple(found)


def _admin_policy(dice: Dice, kind: str, name: str) -> Object:
    spec: Object = {"subject": _pods_or_namespaces(dice)}
    actions: tuple[str, ...] = ("Allow", "Deny")
    if kind == "AdminNetworkPolicy":
        spec["priority"] = dice.choice((1, 2, 3, 50, 51))
        actions = ("Allow", "Deny", "Pass")
    for field, peers in (("ingress", "from"), ("egress", "to")):
        if dice.chance(0.7):
            spec[field] = [
                _admin_rule(dice, dice.choice(actions), peers) for _ in range(dice.randint(1, 3))
            ]
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }


def _admin_rule(dice: Dice, action: str, peers: str) -> Object:
    rule: Object = {"action": action}
    rule[peers] = [
        {"networks": [block[0] for block in dice.some(BLOCKS, 1, 2)]}
        if peers == "to" and dice.chance(0.3)
        else _pods_or_namespaces(dice)
        for _ in range(dice.randint(1, 2))
    ]
    if dice.chance(0.6):
        rule["ports"] = [_admin_port(dice) for _ in range(dice.randint(1, 2))]
    return rule


def _admin_port(dice: Dice) -> Object:
    first, protocol = dice.choice(NUMBERS), dice.choice(PROTOCOLS)
    if dice.chance(0.4):
        end = first + dice.choice((1, 400))
        return {"portRange": {"protocol": protocol, "start": first, "end": end}}
    return {"portNumber": {"protocol": protocol, "port": first}}


def _pods_or_namespaces(dice: Dice) -> Object:
    namespaces = _selector(dice, ("team", "kubernetes.io/metadata.name"))
    if dice.chance(0.5):
        return {"namespaces": namespaces}
    own = _selector(dice, ("app", "tier"))
    return {"pods": {"namespaceSelector": namespaces, "podSelector": own}}


def _for_analyzer(policy: Object) -> Object:
    """The policy without what the analyzer reads differently from the API.

    It allows every port of a pod that has no port of the name; the API says that none matches. It
    looks for pods with a key, or without it, in the policy's own namespace only.
    """
    spec = dict(policy["spec"])
    for field in spec.keys() & {"ingress", "egress"}:
        spec[field] = [_rule_for_analyzer(each) for each in spec[field]]
    return {**policy, "spec": spec}


def _rule_for_analyzer(rule: Object) -> Object:
    changed = dict(rule)
    if "ports" in rule:
        changed["ports"] = [_numbered(each) for each in rule["ports"]]
    for field in rule.keys() & {"from", "to"}:
        changed[field] = [_with_values(each) for each in rule[field]]
    return changed


def _numbered(port: Object) -> Object:
    found = port.get("port")
    return {**port, "port": NUMBERS[NAMES.index(found)]} if found in NAMES else port


def _with_values(peer: Object) -> Object:
    """The peer with all values of a key in the place of the key alone: it means the same."""
    selector = peer.get("podSelector", {})
    if "matchExpressions" not in selector:
        return peer
    operators = {"Exists": "In", "DoesNotExist": "NotIn"}
    expressions = [
        {**each, "operator": operators[each["operator"]], "values": list(VALUES[each["key"]])}
        if each["operator"] in operators
        else each
        for each in selector["matchExpressions"]
    ]
    return {**peer, "podSelector": {**selector, "matchExpressions": expressions}}


def _namespace(dice: Dice, name: str) -> Object:
    own = {"kubernetes.io/metadata.name": name, **labels(dice, ("team", "tier"))}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": own}}


def _pod(dice: Dice, number: int, namespace: str) -> Object:
    ports = [
        {"name": name, "containerPort": port, "protocol": dice.choice(PROTOCOLS[:2])}
        for name, port in zip(
            dice.some(NAMES, 0, 3), dice.sample(NUMBERS, len(NAMES)), strict=False
        )
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"pod-{number}",
            "namespace": namespace,
            "uid": f"{number}",
            "labels": labels(dice, ("app", "tier")),
        },
        "spec": {"containers": [{"name": "main", "image": "none", "ports": ports}]},
        "status": {"phase": "Running", "podIP": f"10.244.{number % 4}.{number + 1}"},
    }


def labels(dice: Dice, keys: tuple[str, ...]) -> dict[str, str]:
    """Labels with most of these keys."""
    return {key: dice.choice(VALUES[key]) for key in keys if dice.chance(0.8)}


def policy(dice: Dice, number: int, namespace: str) -> Object:
    """A NetworkPolicy of the namespace."""
    spec: Object = {"podSelector": _selector(dice, ("app", "tier"))}
    types = dice.some(("Ingress", "Egress"), 1, 2)
    spec["policyTypes"] = sorted(types, reverse=True)
    for kind, field, peers in (("Ingress", "ingress", "from"), ("Egress", "egress", "to")):
        if kind in types and dice.chance(0.85):
            spec[field] = [_rule(dice, peers) for _ in range(dice.randint(0, 3))]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"policy-{number}", "namespace": namespace},
        "spec": spec,
    }


def _rule(dice: Dice, peers: str) -> Object:
    rule: Object = {}
    if dice.chance(0.8):
        rule[peers] = [_peer(dice) for _ in range(dice.choice((0, 1, 1, 1, 2, 3)))]
    if dice.chance(0.7):
        rule["ports"] = [_port(dice) for _ in range(dice.choice((0, 1, 1, 2, 3)))]
    return rule


def _peer(dice: Dice) -> Object:
    kind = dice.choice(("pods", "namespaces", "both", "block"))
    if kind == "block":
        cidr, exceptions = dice.choice(BLOCKS)
        block: Object = {"cidr": cidr}
        if dice.chance(0.5):
            block["except"] = dice.some(exceptions, 1, 2)
        return {"ipBlock": block}
    peer: Object = {}
    if kind != "namespaces":
        peer["podSelector"] = _selector(dice, ("app", "tier"))
    if kind != "pods":
        peer["namespaceSelector"] = _selector(dice, ("team", "kubernetes.io/metadata.name"))
    return peer


def _port(dice: Dice) -> Object:
    port: Object = {}
    if dice.chance(0.7):
        port["protocol"] = dice.choice(PROTOCOLS)
    if dice.chance(0.85):
        port["port"] = dice.choice(NAMES) if dice.chance(0.3) else dice.choice(NUMBERS)
        if isinstance(port["port"], int) and dice.chance(0.3):
            port["endPort"] = port["port"] + dice.choice((0, 1, 400))
    return port


def _selector(dice: Dice, keys: tuple[str, ...]) -> Object:
    selector: Object = {}
    if dice.chance(0.5):
        key = dice.choice(keys)
        selector["matchLabels"] = {key: dice.choice(_values(key))}
    if dice.chance(0.35):
        selector["matchExpressions"] = [
            _expression(dice, dice.choice(keys)) for _ in range(dice.randint(1, 2))
        ]
    return selector


def _expression(dice: Dice, key: str) -> Object:
    operator = dice.choice(("In", "NotIn", "Exists", "DoesNotExist"))
    expression: Object = {"key": key, "operator": operator}
    if operator in ("In", "NotIn"):
        expression["values"] = dice.some(_values(key), 1, 2)
    return expression


def _values(key: str) -> tuple[str, ...]:
    return VALUES.get(key, NAMESPACES)


def _for_cyclonus(policy: Object) -> Object:
    """The policy without `NotIn`, which Cyclonus does not let match an object without the label."""
    found: Object = _with_in(policy)
    return found


def _with_in(value: Any) -> Any:
    if isinstance(value, list):
        return [_with_in(each) for each in value]
    if not isinstance(value, dict):
        return "In" if value == "NotIn" else value
    return {key: _with_in(each) for key, each in value.items()}


_CHANGES = {"analyzer": _for_analyzer, "cyclonus": _for_cyclonus}
"""What makes a policy one that the oracle reads as the API."""
