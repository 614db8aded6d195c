"""The two ends of a connection, as far as policies can tell them apart."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from wirecheck.addresses import IPNetwork
from wirecheck.api_index.grouping import grouped
from wirecheck.api_index.pod import Pod
from wirecheck.policy.blocks import Block, BlockMap, block_of
from wirecheck.policy.selection import keys_of
from wirecheck.snapshot.objects.admin_rules import AdminRule
from wirecheck.snapshot.objects.network_policy import (
    IpBlock,
    LabelSelector,
    NetworkPolicyObject,
    PolicyPeer,
    PolicyPort,
)
from wirecheck.snapshot.objects.other_policy import OtherPolicyObject

Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class NamedPort:
    """A named port of a container."""

    name: str
    protocol: str
    number: int
    is_sidecars: bool = False
    """Whether an init container has it: not every network plugin resolves those."""


@dataclass(frozen=True, slots=True)
class PodClass:
    """Pods that no policy can tell apart: only what policies name counts."""

    namespace: str
    labels: Labels = ()
    on_host_network: bool = False
    named_ports: frozenset[NamedPort] = frozenset()
    covered_by: frozenset[str] = frozenset()
    """The ipBlocks that cover an address of the pods."""
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        # It is a key for each pair of classes and each direction.
        parts = self.namespace, self.labels, self.on_host_network, self.named_ports
        object.__setattr__(self, "_hash", hash((*parts, self.covered_by)))

    def __hash__(self) -> int:
        return self._hash


@dataclass(frozen=True, slots=True)
class Outside:
    """Addresses that belong to no pod and that no ipBlock tells apart."""

    covered_by: frozenset[str] = frozenset()


Peer = PodClass | Outside

A_NODE = PodClass("", on_host_network=True)
"""A node, or a pod on its host's network: policies cannot tell the two apart."""


@dataclass(frozen=True)
class Vocabulary:
    """What policies name. Two sets of policies are compared with the vocabulary of both."""

    policies: tuple[NetworkPolicyObject, ...]
    others: tuple[OtherPolicyObject, ...] = ()

    @cached_property
    def label_keys(self) -> frozenset[str]:
        """The keys of pods' labels that a selector names."""
        return frozenset(keys_of(self._pod_selectors()))

    def _pod_selectors(self) -> Iterator[LabelSelector | None]:
        yield from (each.spec.pod_selector for each in self.policies)
        yield from (each.pod_selector for each in peers_of(self.policies))
        yield from (choice.pods for each in self.others for choice in each.choices)
        yield from (peer.pods for rule in admin_rules(self.others) for peer in rule.peers)

    @cached_property
    def port_names(self) -> frozenset[str]:
        """The names of ports that a rule has."""
        own = {p.port for p in _ports_of(self.policies) if isinstance(p.port, str)}
        rules = admin_rules(self.others)
        return frozenset(own.union(p.name for rule in rules for p in rule.ports or () if p.name))

    @cached_property
    def block_map(self) -> BlockMap:
        """The addresses that the ipBlocks cover."""
        return BlockMap((*blocks_of(self.policies), *networks_of(self.others)))

    def class_of(self, pod: Pod) -> PodClass:
        """The class of the pod."""
        labels = pod.object.metadata.labels
        return PodClass(
            pod.namespace,
            tuple(sorted((k, v) for k, v in labels.items() if k in self.label_keys)),
            pod.on_host_network,
            frozenset(each for each in _named_ports(pod) if each.name in self.port_names),
            self.block_map.covering(pod.addresses),
        )

    def classes(self, pods: Iterable[Pod]) -> Mapping[PodClass, Sequence[Pod]]:
        """The pods that can be at the end of a connection, by class."""
        return grouped((self.class_of(each), each) for each in pods if is_peer(each))


def is_peer(pod: Pod) -> bool:
    """Whether the pod can have connections: it has an address, and neither finished nor ends."""
    return pod.is_running and bool(pod.addresses)


def outsides(
    policies: Iterable[NetworkPolicyObject], others: Iterable[OtherPolicyObject] = ()
) -> Mapping[Outside, list[IPNetwork]]:
    """The addresses that the ipBlocks of these policies tell apart, with their ranges."""
    blocks = BlockMap((*blocks_of(policies), *networks_of(others)))
    return {Outside(key): ranges for key, ranges in blocks.areas.items()}


def admin_rules(policies: Iterable[OtherPolicyObject]) -> Iterator[AdminRule]:
    """The rules of admin policies, as far as they are known."""
    for each in policies:
        if each.admin is not None:
            yield from (*each.admin.ingress, *each.admin.egress)


def networks_of(policies: Iterable[OtherPolicyObject]) -> tuple[Block, ...]:
    """The networks that rules of admin policies name, each once."""
    texts = (text for e in admin_rules(policies) for peer in e.peers for text in peer.networks)
    return tuple(block_of(IpBlock(text)) for text in dict.fromkeys(texts))


def blocks_of(policies: Iterable[NetworkPolicyObject]) -> tuple[Block, ...]:
    """The ipBlocks of the policies, each once."""
    found = (each.ip_block for each in peers_of(policies))
    return tuple(dict.fromkeys(block_of(each) for each in found if each is not None))


def peers_of(policies: Iterable[NetworkPolicyObject]) -> Iterator[PolicyPeer]:
    """The peers of all rules."""
    for each in policies:
        for ingress in each.spec.ingress or ():
            yield from ingress.sources
        for egress in each.spec.egress or ():
            yield from egress.to


def _ports_of(policies: Iterable[NetworkPolicyObject]) -> Iterator[PolicyPort]:
    for each in policies:
        for rule in (*(each.spec.ingress or ()), *(each.spec.egress or ())):
            yield from rule.ports


def _named_ports(pod: Pod) -> Iterator[NamedPort]:
    for each in pod.object.spec.containers:
        for port in each.ports:
            if port.name:
                yield NamedPort(port.name, port.protocol, port.container_port)
    for each in pod.object.spec.init_containers:
        # An init container with restartPolicy Always runs as long as the pod: a sidecar.
        for port in each.ports if each.restart_policy == "Always" else ():
            if port.name:
                yield NamedPort(port.name, port.protocol, port.container_port, is_sidecars=True)
