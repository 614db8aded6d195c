"""How kube-router 2.1 reads NetworkPolicies, written a second time from its source.

Where it differs from the API, the difference is one of `Flaw`. Without flaws, it is what the API
defines. Its rules only allow, so each flaw adds or removes connections on its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from ipaddress import ip_address, ip_network
from typing import Any

Object = dict[str, Any]
Range = tuple[str, int, int]
"""A protocol, the first and the last port; an empty protocol is every one of them."""

ALL: Range = ("", 1, 65535)


class Flaw(StrEnum):
    """Where kube-router differs from the API."""

    DIRECTIONS = (
        "rules for one direction of a policy for both also allow the other direction, "
        "between pods that the policy selects"
    )
    NO_SUCH_NAME = "a rule whose named ports no pod has allows every port of the selected peers"
    ANY_TARGET = (
        "egress to a named port without `to` allows its numbers at every address, and no port of "
        "pods in other namespaces"
    )
    SHARED_NAMES = "pods that have one named port in common also get into sets of the others"
    EXCEPTIONS = "an exception of one ipBlock removes addresses from another ipBlock of the rule"


EVERY_FLAW = frozenset(Flaw)


@dataclass(frozen=True)
class Subject:
    """A pod, or an address of no pod."""

    address: str
    namespace: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[tuple[str, str, int], ...] = ()
    """Name, protocol and number of each named port."""
    is_local: bool = False

    @property
    def is_pod(self) -> bool:
        return bool(self.namespace)


@dataclass(frozen=True)
class Reading:
    """What kube-router makes of the policies, with some of its flaws."""

    namespaces: Mapping[str, Mapping[str, str]]
    pods: Sequence[Subject]
    policies: Sequence[Object]
    flaws: frozenset[Flaw] = EVERY_FLAW

    def ranges(self, source: Subject, target: Subject) -> list[list[Range]]:
        """For each chain of a local pod that a packet meets: the ports that it lets through."""
        return [list(self._of_pod(pod, source, target)) for pod in (source, target) if pod.is_local]

    def _of_pod(self, pod: Subject, source: Subject, target: Subject) -> Iterator[Range]:
        has = {"Ingress": False, "Egress": False}
        for policy in self._selecting[pod]:
            types = policy["spec"]["policyTypes"]
            has = {kind: has[kind] or kind in types for kind in has}
            direction = "Ingress" if pod == target else "Egress"
            is_both = len(types) == 2 and Flaw.DIRECTIONS in self.flaws
            for kind in types if is_both else (kind for kind in types if kind == direction):
                yield from self._of_rules(policy, kind, source, target)
        if not has["Ingress" if pod == target else "Egress"]:
            yield ALL

    @cached_property
    def _selecting(self) -> Mapping[Subject, Sequence[Object]]:
        return {
            pod: [each for each in self.policies if pod in self.selected(each)] for pod in self.pods
        }

    def selected(self, policy: Object) -> list[Subject]:
        """The pods that the policy selects."""
        own = policy["metadata"]["namespace"]
        selector = policy["spec"]["podSelector"]
        return [e for e in self.pods if e.namespace == own and matches(selector, dict(e.labels))]

    def _of_rules(
        self, policy: Object, kind: str, source: Subject, target: Subject
    ) -> Iterator[Range]:
        """The ports to which the rules of one direction let the packet through."""
        subject, peer = (target, source) if kind == "Ingress" else (source, target)
        chosen = self.selected(policy)
        if subject not in chosen:
            return
        field, peers = ("ingress", "from") if kind == "Ingress" else ("egress", "to")
        for rule in policy["spec"].get(field, ()):
            listed = rule.get(peers, [])
            members = self._members(policy, listed)
            if not listed and kind == "Egress":
                yield from _ports(rule, self._named_to_everybody(policy, rule, target))
            elif not listed or peer in members:
                named = self._named(rule, chosen if kind == "Ingress" else members, target)
                if named or not listed or self._has_ports(rule, chosen, members, kind):
                    yield from _ports(rule, named)
                else:
                    yield ALL
            if listed and self._in_blocks(listed, peer.address):
                yield from _ports(
                    rule, self._named(rule, chosen, target) if kind == "Ingress" else []
                )

    def _has_ports(
        self, rule: Object, chosen: Sequence[Subject], members: Sequence[Subject], kind: str
    ) -> bool:
        """Whether a port of the rule is left when its names are resolved; otherwise all match."""
        among = chosen if kind == "Ingress" else members
        return Flaw.NO_SUCH_NAME not in self.flaws or (
            not rule.get("ports")
            or any(not isinstance(each.get("port"), str) for each in rule["ports"])
            or any(_asks(rule, name, protocol) for name, protocol, _ in _all_ports(among))
        )

    def _named_to_everybody(
        self, policy: Object, rule: Object, target: Subject
    ) -> list[tuple[str, int]]:
        if Flaw.ANY_TARGET not in self.flaws:
            return self._named(rule, self.pods, target)
        own = [each for each in self.pods if each.namespace == policy["metadata"]["namespace"]]
        return [(p, number) for name, p, number in _all_ports(own) if _asks(rule, name, p)]

    def _named(
        self, rule: Object, among: Sequence[Subject], target: Subject
    ) -> list[tuple[str, int]]:
        """The protocols and numbers that the rule's names mean for the target."""
        return [
            (protocol, number)
            for name, protocol, number in _all_ports(among)
            if _asks(rule, name, protocol)
            and target in self._with_port(among, (name, protocol, number))
        ]

    def _with_port(self, among: Sequence[Subject], port: tuple[str, str, int]) -> set[Subject]:
        """The pods whose addresses are in the set of a named port."""
        found = {each for each in among if port in each.ports}
        if Flaw.SHARED_NAMES not in self.flaws:
            return found
        # One map of addresses is appended to for every port of the first pod that has it.
        return found | {
            each
            for each in among
            if any(set(each.ports) & set(other.ports) for other in found if other is not each)
        }

    def _members(self, policy: Object, peers: Sequence[Object]) -> list[Subject]:
        """The pods that selectors of the peers match."""
        own, found = policy["metadata"]["namespace"], []
        for peer in peers:
            if "ipBlock" in peer:
                continue
            wanted = peer.get("namespaceSelector")
            for pod in self.pods:
                is_in = (
                    pod.namespace == own
                    if wanted is None
                    else matches(wanted, self.namespaces[pod.namespace])
                )
                if is_in and matches(peer.get("podSelector", {}), dict(pod.labels)):
                    found.append(pod)
        return found

    def _in_blocks(self, peers: Sequence[Object], address: str) -> bool:
        """Whether the one set of all ipBlocks of the rule has the address."""
        blocks = [each["ipBlock"] for each in peers if "ipBlock" in each]
        if Flaw.EXCEPTIONS not in self.flaws:
            return any(_covers(each, address) for each in blocks)
        entries: dict[str, bool] = {}
        for each in blocks:
            for text in _halves(each["cidr"]):
                entries[text] = True
            entries |= {half: False for e in each.get("except", ()) for half in _halves(e)}
        hits = [(ip_network(t).prefixlen, is_in) for t, is_in in entries.items() if _in(address, t)]
        return max(hits, default=(0, False))[1]


def subjects(pods: Iterable[Object], node: str, outside: Iterable[str]) -> list[Subject]:
    """The pods of the API, and addresses of no pod."""
    found = [
        Subject(
            each["status"]["podIP"],
            each["metadata"]["namespace"],
            tuple(sorted(each["metadata"]["labels"].items())),
            tuple(
                (port["name"], port["protocol"], port["containerPort"])
                for port in each["spec"]["containers"][0]["ports"]
            ),
            each["spec"]["nodeName"] == node,
        )
        for each in pods
    ]
    return [*found, *map(Subject, outside)]


def matches(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches."""
    return all(labels.get(k) == v for k, v in selector.get("matchLabels", {}).items()) and all(
        _holds(each, labels) for each in selector.get("matchExpressions", ())
    )


def _holds(each: Object, labels: Mapping[str, str]) -> bool:
    value = labels.get(each["key"])
    match each["operator"]:
        case "In":
            return value in each["values"]
        case "NotIn":
            return value not in each["values"]
        case "Exists":
            return value is not None
    return value is None


def _ports(rule: Object, named: Iterable[tuple[str, int]]) -> Iterator[Range]:
    """The ports of a rule whose names mean `named`."""
    ports = rule.get("ports", [])
    if not ports:
        yield ALL
    for each in ports:
        first = each.get("port")
        if not isinstance(first, str):
            last = each.get("endPort", first)
            yield each.get("protocol", "TCP"), first or 1, last or 65535
    yield from ((protocol, number, number) for protocol, number in named)


def _asks(rule: Object, name: str, protocol: str) -> bool:
    return any(
        each.get("port") == name and each.get("protocol", "TCP") == protocol
        for each in rule.get("ports", ())
    )


def _all_ports(pods: Iterable[Subject]) -> list[tuple[str, str, int]]:
    return list(dict.fromkeys(port for pod in pods for port in pod.ports))


def _halves(cidr: str) -> list[str]:
    return ["0.0.0.0/1", "128.0.0.0/1"] if cidr == "0.0.0.0/0" else [cidr]


def _in(address: str, cidr: str) -> bool:
    return ip_address(address) in ip_network(cidr)


def _covers(block: Object, address: str) -> bool:
    excepted = any(_in(address, each) for each in block.get("except", ()))
    return _in(address, block["cidr"]) and not excepted
