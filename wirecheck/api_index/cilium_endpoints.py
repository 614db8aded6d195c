"""Which pod has which address, with the identity by which Cilium's policies know the pod."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from wirecheck.api_index.node_addresses import valid_addresses
from wirecheck.api_index.pod import Pod
from wirecheck.snapshot.objects.cilium_endpoint import CiliumEndpointObject

BITS_OF_CLUSTER = 16
"""Identities of a cluster begin with its number in a ClusterMesh."""


@dataclass(frozen=True, eq=False)
class PodAddress:
    """One address of a running pod."""

    pod: Pod
    address: str
    identity: int
    """Of its CiliumEndpoint; 0 if it has none with this address."""


@dataclass(frozen=True, eq=False)
class PodAddresses:
    """The addresses of all running pods that are not on the host network."""

    pods: Sequence[Pod]
    endpoints: Sequence[CiliumEndpointObject]
    helpers: Sequence[Pod] = ()
    """Helper pods of a run, which nothing is expected of."""

    @cached_property
    def by_address(self) -> dict[str, PodAddress]:
        """Every address with its pod."""
        return {each.address: each for each in self._found}

    @property
    def _found(self) -> Iterator[PodAddress]:
        identities = {
            (each.metadata.namespace, each.metadata.name, address): each.status.identity.id
            for each in self.endpoints
            for address in _addresses_of(each)
        }
        for pod in self.pods:
            if pod.is_running and not pod.on_host_network:
                for each in map(str, sorted(pod.addresses, key=lambda own: own.version)):
                    key = pod.namespace, pod.name, each
                    yield PodAddress(pod, each, identities.get(key, 0))

    @cached_property
    def identified(self) -> frozenset[tuple[str, int]]:
        """The addresses with a known identity."""
        found = self.by_address.values()
        return frozenset((each.address, each.identity) for each in found if each.identity)

    @cached_property
    def of_any_pod(self) -> frozenset[str]:
        """The addresses of all pods and CiliumEndpoints, whatever their state."""
        pods = (*self.pods, *self.helpers)
        of_pods = (str(address) for pod in pods for address in pod.addresses)
        of_endpoints = (address for each in self.endpoints for address in _addresses_of(each))
        return frozenset((*of_pods, *of_endpoints))

    @cached_property
    def clusters(self) -> frozenset[int]:
        """The cluster's own number in its identities; empty without CiliumEndpoints."""
        return frozenset(identity >> BITS_OF_CLUSTER for _, identity in self.identified)


def _addresses_of(endpoint: CiliumEndpointObject) -> Iterator[str]:
    known = endpoint.status.networking.addressing
    return map(str, valid_addresses(own for each in known for own in (each.ipv4, each.ipv6)))
