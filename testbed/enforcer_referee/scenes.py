"""Random pods of one node and of others, namespaces and NetworkPolicies, as objects of the API."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from testbed.policy_referee.random_clusters import NAMES, NUMBERS, labels, policy
from testbed.referee.dice import Dice
from testbed.referee.scene import Object
from testbed.trace_referee.world import PlacedNode, PlacedPod

NODE = "here"
NODE_ADDRESS = "172.31.0.10"
OTHERS = {"there": "172.31.0.11", "far": "172.31.0.12"}
NAMESPACES = ("one", "two", "three")
SENTINEL = "sentinel"
"""The name of a policy that is written last in each scene, and denies nothing new."""
CONTAINER_PROTOCOLS = ("TCP", "TCP", "UDP", "SCTP")


def _uid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


BRIDGED = tuple(
    PlacedPod(f"local-{number}", _uid(number), f"10.244.0.{number + 2}", f"veth{number}")
    for number in range(4)
)
ROUTED = PlacedPod("local-4", _uid(4), "10.245.0.4", "veth4", routed=True)
LOCAL = (*BRIDGED, ROUTED)
"""Their places: which pod of the API is there changes from scene to scene."""
PLACED = PlacedNode(NODE, NODE_ADDRESS, LOCAL, has_uplink=False)
REMOTE = tuple((f"remote-{n}", f"10.244.{1 + n % 2}.{n + 2}") for n in range(10))
OUTSIDE = (
    "8.8.8.8", "192.0.2.1", "192.0.2.77", "192.0.2.130", "198.51.100.7", "198.51.100.130",
    "203.0.113.9", "10.9.9.9", "10.244.1.200", "10.244.2.200",
)  # fmt: skip
"""Addresses of no pod, in each range that policies tell apart."""
BLOCKS6 = (
    ("::/0", ("fd00::/8", "2001:db8::/32", "2001:db8:1::/48")),
    ("2001:db8::/32", ("2001:db8:1::/48",)),
    ("fd00::/16", ("fd00:244::/32", "fd00:9::/32")),
)
"""IPv6 ranges, and the exceptions that each may have: they say nothing about IPv4."""


@dataclass(frozen=True)
class PolicyScene:
    """What the API holds at one time."""

    namespaces: tuple[Object, ...]
    pods: tuple[Object, ...]
    policies: tuple[Object, ...]
    number: int = 0

    @property
    def objects(self) -> tuple[Object, ...]:
        """What changes from scene to scene, in the order in which it is written."""
        return (*self.namespaces, *self.pods, *self.policies, sentinel(self.number))


def random_policy_scenes(seed: int, size: int) -> Iterator[PolicyScene]:
    """Scenes without end; each keeps a part of the pods and policies of the one before."""
    dice, scene, number = Dice(seed), PolicyScene((), (), ()), 0
    while True:
        number += 1
        scene = _next(dice, scene, size, number)
        yield scene


def _next(dice: Dice, before: PolicyScene, size: int, number: int) -> PolicyScene:
    namespaces = tuple(_namespace(dice, name) for name in NAMESPACES)
    kept = [each for each in before.policies if dice.chance(0.2)][: size // 4]
    fresh = [
        _with_ipv6(dice, policy(dice, 1000 * number + at, dice.choice(NAMESPACES)))
        for at in range(size - len(kept))
    ]
    old = {each["metadata"]["labels"]["place"]: each for each in before.pods}
    pods = tuple(_again(dice, old.get(place.name), _local(dice, place)) for place in LOCAL) + tuple(
        _again(dice, old.get(place[0]), _remote(dice, *place)) for place in REMOTE
    )
    return PolicyScene(namespaces, pods, (*kept, *fresh), number)


def _again(dice: Dice, old: Object | None, fresh: Object) -> Object:
    """A new pod in the place of the old one, or the old one with other labels.

    Of a pod that exists, nothing but labels and status can change.
    """
    if old is None or dice.chance(0.3):
        return fresh
    place = {"place": old["metadata"]["labels"]["place"]}
    changed = {**labels(dice, ("app", "tier")), **place} if dice.chance(0.5) else None
    return _with_labels(old, changed or old["metadata"]["labels"])


def _with_labels(pod: Object, wanted: Object) -> Object:
    return {**pod, "metadata": {**pod["metadata"], "labels": wanted}}


def _namespace(dice: Dice, name: str) -> Object:
    own = {"kubernetes.io/metadata.name": name, **labels(dice, ("team", "tier"))}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": own}}


def _local(dice: Dice, place: PlacedPod) -> Object:
    return _pod(dice, place.name, (NODE, NODE_ADDRESS), place.address)


def _remote(dice: Dice, name: str, address: str) -> Object:
    return _pod(dice, name, tuple(OTHERS.items())[int(address.split(".")[2]) - 1], address)


def _pod(dice: Dice, place: str, node: tuple[str, str], address: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{place}-{dice.randrange(10_000)}",
            "namespace": dice.choice(NAMESPACES),
            "labels": {**labels(dice, ("app", "tier")), "place": place},
        },
        "spec": {
            "nodeName": node[0],
            "containers": [{"name": "main", "image": "none", "ports": _named_ports(dice)}],
        },
        "status": {
            "phase": "Running",
            "hostIP": node[1],
            "hostIPs": [{"ip": node[1]}],
            "podIP": address,
            "podIPs": [{"ip": address}],
        },
    }


def _named_ports(dice: Dice) -> list[Object]:
    names = dice.some(NAMES, 0, 3)
    numbers = dice.sample(NUMBERS, len(NAMES))
    return [
        {"name": name, "containerPort": port, "protocol": dice.choice(CONTAINER_PROTOCOLS)}
        for name, port in zip(names, numbers, strict=False)
    ]


def _with_ipv6(dice: Dice, policy: Object) -> Object:
    """The policy with some of its ipBlocks of the other family."""
    spec = dict(policy["spec"])
    for field, peers in (("ingress", "from"), ("egress", "to")):
        for rule in spec.get(field, ()):
            for peer in rule.get(peers, ()):
                if "ipBlock" in peer and dice.chance(0.4):
                    cidr, exceptions = dice.choice(BLOCKS6)
                    peer["ipBlock"] = {"cidr": cidr}
                    if dice.chance(0.5):
                        peer["ipBlock"]["except"] = dice.some(exceptions, 1, 2)
    return {**policy, "spec": spec}


def sentinel(number: int) -> Object:
    """A policy for a namespace without pods; its name says which scene was written."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"{SENTINEL}-{number}", "namespace": SENTINEL},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]},
    }


def nodes() -> Iterator[Object]:
    """The nodes, which stay as they are."""
    for name, address in {NODE: NODE_ADDRESS, **OTHERS}.items():
        yield {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
            "spec": {},
            "status": {"addresses": [{"type": "InternalIP", "address": address}]},
        }


def without_policies(scene: PolicyScene, kept: Sequence[Object], number: int) -> PolicyScene:
    """The scene with these policies only."""
    return replace(scene, policies=tuple(kept), number=number)
