"""The policy maps of the endpoints of one node, by the addresses of their pods."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.dataplane.ebpf.policy_maps import BITS_OF_CLUSTER, PolicyMap, Port, policy_maps_of
from wirecheck.node.cilium_addresses import CiliumAddresses
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps
from wirecheck.text import plural

NO_ENDPOINT = "Cilium has no endpoint for {}, so no policy of it applies there"
NO_MAP = "no policy map of endpoint {}, which is {}, was read"
AUDITED = "policy audit mode is on for endpoint {}: denials are only logged"
NOT_READ = "whether Cilium only audits the policies of endpoint {} was not read"
MOST_PORTS = 1_000
MOST_LINES = 20


@dataclass(frozen=True)
class EndpointMaps:
    """What was read of the endpoints. Raises FactMissingError for a map that is not recognised."""

    seen: NodeSeen
    addresses: CiliumAddresses

    @cached_property
    def document(self) -> EbpfMaps:
        """Raises NotApplicable where the maps were not read, FactMissingError if that failed."""
        return self.addresses.usage.document

    def at(self, address: IPAddress) -> PolicyMap | str:
        """The map of the pod with an address, or why there is none."""
        own = self.addresses.endpoints.get(str(address))
        if own is None:
            return NO_ENDPOINT.format(address)
        if own.number not in self._decoded:
            found = self._by_endpoint.get(own.number)
            self._decoded[own.number] = (
                self._decode(found) if found else NO_MAP.format(own.number, address)
            )
        return self._decoded[own.number]

    @cached_property
    def _decoded(self) -> dict[int, PolicyMap | str]:
        return {}

    @cached_property
    def _by_endpoint(self) -> Mapping[int, EbpfMap]:
        return policy_maps_of(self.document)

    def _decode(self, found: EbpfMap) -> PolicyMap:
        try:
            return PolicyMap.of(found, self.document.byte_order, self._cluster)
        except ParseError as error:
            raise FactMissingError(f"{self.seen.name}: {error}.") from error

    @cached_property
    def _cluster(self) -> int:
        """The number of the node's own cluster, with which the identities of its pods begin."""
        own = (each.identity >> BITS_OF_CLUSTER for each in self.addresses.endpoints.values())
        return max(own, default=0)

    def number(self, address: IPAddress) -> int:
        """The number of the endpoint of a pod that has a map."""
        return self.addresses.endpoints[str(address)].number

    def is_audited(self, address: IPAddress) -> bool | None:
        """Whether the policies of a pod are only logged; None if that was not read."""
        return (self.document.audited or {}).get(str(self.number(address)))

    def has_program(self, address: IPAddress) -> bool:
        """Whether what the pod sends meets a program: only that enforces policies for egress."""
        device = self.addresses.endpoints[str(address)].device
        return not self.addresses.usage.cilium.programs.is_missing_on(device)

    def named_ports(self, address: IPAddress) -> frozenset[Port]:
        """The ports that the map of the pod with the address names.

        Raises FactMissingError if there are too many to try.
        """
        found = self.at(address)
        named = frozenset(found.named_ports) if isinstance(found, PolicyMap) else frozenset[Port]()
        if isinstance(found, PolicyMap) and len(named) > MOST_PORTS:
            raise FactMissingError(
                f"{self.seen.name}: eBPF map {found.name} names {len(named)} ports; at most "
                f"{MOST_PORTS} are compared with NetworkPolicies."
            )
        return named

    def lines_of(self, own: IPAddress) -> Iterator[str]:
        """The entries of the map of a pod as text, without those that repeat one for everybody."""
        found = self.at(own)
        if isinstance(found, str):
            yield found
            return
        if self.is_audited(own):
            yield AUDITED.format(self.number(own))
        lines = [f"{found.name}: {each}" for each in found.listed]
        yield from lines[:MOST_LINES]
        if len(lines) > MOST_LINES:
            more = plural(len(lines) - MOST_LINES, "further entry", "further entries")
            yield f"{found.name}: {more}"
        if not lines:
            yield f"{found.name}: no entry, so everything is refused"
