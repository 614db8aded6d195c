"""The changes: what each does to the cluster, and how it is undone."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from testbed.cluster import kubectl
from testbed.commands import run
from testbed.in_flight import policies
from testbed.layout import WORKERS
from testbed.readiness import wait_until_at_rest

SIZES = (2, 3, 5, 6, 8)
USUAL = 4
SERVICES = ("web", "web-nodeport", "web-nodeport-local", "web-same-node")
EDITS: tuple[Mapping[str, object], ...] = (
    {"sessionAffinity": "ClientIP"},
    {"sessionAffinity": "None", "sessionAffinityConfig": None},
    {"publishNotReadyAddresses": True},
    {"publishNotReadyAddresses": False},
)
"""Changes of a Service's spec that its type allows, whichever it is."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change: its name, and what makes it."""

    name: str
    make: Callable[[], object]
    is_long: bool = False
    """Whether the cluster has to come to rest before the next run: a node restarts."""


def drawn(dice: random.Random) -> Change:
    """Draw a change; most are those that happen most often in a cluster."""
    kinds = (
        (_pod_deleted, 6),
        (_service_edited, 6),
        (_scaled, 4),
        (_labelled, 2),
        (_proxy_restarted, 3),
        (_dns_restarted, 2),
        (_policy_written, 3),
        (_policy_deleted, 1),
        (_side_changed, 2),
    )
    if dice.random() < RESTARTS:
        return _node_restarted(dice)
    ((kind, _),) = dice.choices(kinds, [weight for _, weight in kinds])
    return kind(dice)


RESTARTS = 0.06
"""The share of changes that restart a node: each costs a minute or two."""


def undo() -> None:
    """Bring the cluster back to what it was, and to rest."""
    policies.undo()
    for name in SERVICES:
        _edit(name, {**EDITS[1], **EDITS[3]})
    kubectl("-n", "shop", "scale", "deployment/web", f"--replicas={USUAL}")
    kubectl("-n", "shop", "label", "pods", "--all", "in-flight-")
    wait_until_at_rest()


def _pods(namespace: str, label: str) -> list[str]:
    """The names of the pods, sorted, so that a seed draws the same ones."""
    names = ("-n", namespace, "get", "pods", "-l", label, "-o", "name")
    return sorted(kubectl(*names).split())


def _delete_one(namespace: str, label: str, number: float) -> None:
    """Delete the pod at this share of the list; its controller makes another one."""
    pods = _pods(namespace, label)
    if pods:
        name = pods[int(number * len(pods))]
        kubectl("-n", namespace, "delete", name, "--wait=false")


def _pod_deleted(dice: random.Random) -> Change:
    number = dice.random()
    return Change("a pod of shop/web deleted", lambda: _delete_one("shop", "app=web", number))


def _proxy_restarted(dice: random.Random) -> Change:
    number = dice.random()
    label = "k8s-app=kube-proxy"
    return Change("a kube-proxy restarted", lambda: _delete_one("kube-system", label, number))


def _dns_restarted(dice: random.Random) -> Change:
    number = dice.random()
    label = "k8s-app=kube-dns"
    return Change("a CoreDNS replica deleted", lambda: _delete_one("kube-system", label, number))


def _service_edited(dice: random.Random) -> Change:
    name, spec = dice.choice(SERVICES), dice.choice(EDITS)
    said = ", ".join(f"{key}={value}" for key, value in spec.items())
    return Change(f"Service shop/{name} edited: {said}", lambda: _edit(name, spec))


def _edit(name: str, spec: Mapping[str, object]) -> None:
    patch = json.dumps({"spec": spec})
    kubectl("-n", "shop", "patch", "service", name, "--type=merge", f"--patch={patch}")


def _scaled(dice: random.Random) -> Change:
    size = dice.choice(SIZES)
    scale = ("-n", "shop", "scale", "deployment/web", f"--replicas={size}")
    return Change(f"shop/web scaled to {size} pods", lambda: kubectl(*scale))


def _labelled(dice: random.Random) -> Change:
    label = ("label", "pods", "-l", "app=web", f"in-flight=v{dice.randrange(1000)}", "--overwrite")
    return Change("the pods of shop/web labelled", lambda: kubectl("-n", "shop", *label))


def _policy_written(dice: random.Random) -> Change:
    policy = policies.drawn_policy(dice)
    name, types = policy["metadata"]["name"], policy["spec"]["policyTypes"]
    said = f"NetworkPolicy shop/{name} written for {' and '.join(types).lower()}"
    return Change(said, lambda: policies.write(policy))


def _policy_deleted(dice: random.Random) -> Change:
    name = dice.choice(policies.NAMES)
    return Change(f"NetworkPolicy shop/{name} deleted", lambda: policies.delete(name))


def _side_changed(dice: random.Random) -> Change:
    number, side = dice.random(), dice.choice((*policies.SIDES, ""))
    said = f"a pod of shop/web with the label {policies.LABEL}={side}"
    return Change(said, lambda: policies.label_one(number, side))


def _node_restarted(dice: random.Random) -> Change:
    name = dice.choice(WORKERS)
    restart = ["docker", "restart", "--time", str(dice.choice((0, 10))), name]
    return Change(f"node {name} restarted", lambda: run(restart, timeout=120), is_long=True)
