"""NetworkPolicies and labels that they select, as changes in flight."""

from __future__ import annotations

import json
import random
from typing import Any

from testbed.cluster import kubectl

NAMESPACE, MARK = "shop", "in-flight-policy"
NAMES = ("in-flight-one", "in-flight-two")
LABEL, SIDES = "in-flight-side", ("a", "b")
PORTS = (80, 8080, 5432)
PEERS: tuple[dict[str, Any], ...] = (
    {"podSelector": {}},
    {"podSelector": {"matchLabels": {LABEL: "a"}}},
    {"namespaceSelector": {}},
)


def drawn_policy(dice: random.Random) -> dict[str, Any]:
    """A policy for pods of the shop with one of the labels, for one direction or both.

    DNS stays allowed. The kubelet's probes come from the node, which no enforcer refuses.
    """
    types = dice.choice((["Ingress"], ["Egress"], ["Ingress", "Egress"]))
    selector = dice.choice(({"app": "web"}, *({LABEL: side} for side in SIDES)))
    peers: list[dict[str, Any]] = [dice.choice(PEERS)]
    ports = [{"protocol": "TCP", "port": dice.choice(PORTS)}]
    spec: dict[str, Any] = {"podSelector": {"matchLabels": selector}, "policyTypes": types}
    if "Ingress" in types:
        spec["ingress"] = dice.choice(([], [{"from": peers}], [{"from": peers, "ports": ports}]))
    if "Egress" in types:
        dns = {"ports": [{"protocol": each, "port": 53} for each in ("UDP", "TCP")]}
        spec["egress"] = [dns, *dice.choice(([], [{"to": peers, "ports": ports}]))]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": dice.choice(NAMES), "namespace": NAMESPACE, "labels": {MARK: ""}},
        "spec": spec,
    }


def write(policy: dict[str, Any]) -> None:
    """Create the policy, or replace the one with its name."""
    kubectl("apply", "-f", "-", stdin=json.dumps(policy))


def delete(name: str) -> None:
    """Delete the policy, if it exists."""
    kubectl("-n", NAMESPACE, "delete", "networkpolicy", name, "--ignore-not-found")


def label_one(number: float, side: str) -> None:
    """Give the pod at this share of the list the label that policies select; empty removes it."""
    pods = sorted(kubectl("-n", NAMESPACE, "get", "pods", "-l", "app=web", "-o", "name").split())
    if pods:
        label = f"{LABEL}={side}" if side else f"{LABEL}-"
        kubectl("-n", NAMESPACE, "label", pods[int(number * len(pods))], label, "--overwrite")


def undo() -> None:
    """Delete the policies, and remove the label from all pods."""
    kubectl("-n", NAMESPACE, "delete", "networkpolicy", "-l", MARK, "--ignore-not-found")
    kubectl("-n", NAMESPACE, "label", "pods", "--all", f"{LABEL}-")
