"""Who has which address by Cilium's maps on one node, compared with the API.

The ipcache gives an address its identity, by which policies know it, and the node that packets for
it are sent to through the tunnel. The map of endpoints gives the node's own pods their devices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from ipaddress import ip_address, ip_network

from wirecheck.api_index.cilium_endpoints import BITS_OF_CLUSTER, PodAddress, PodAddresses
from wirecheck.api_index.node_addresses import all_addresses
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.dataplane.ebpf.known_addresses import (
    IpCache,
    KnownAddress,
    LocalEndpoint,
    endpoints_of,
    ipcache_of,
)
from wirecheck.node.ebpf_map_usage import EbpfMapUsage
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.ebpf_maps import EbpfMaps
from wirecheck.text import listed, plural

RESERVED = 256
"""Identities below stand for the host, the world, health checks and the like."""
NAMES = {1: "the host", 2: "world", 4: "health", 6: "another node", 9: "world", 10: "world"}
WITHOUT_POD = frozenset({1, 4, 6, 7, 8})
"""Identities of addresses that the node itself has: host, health checks, ingress."""
MOST = 20
"""More addresses than these are one finding."""
NO_IDENTITY = "pods without a CiliumEndpoint, which shows the identity"
DIRECT = "addresses to which Cilium sends without the tunnel"


@dataclass(frozen=True)
class AddressMismatch:
    """An address that a map of the node does not have as the API does."""

    ref: Ref
    address: str
    expected: str
    found: str
    is_harmful: bool = True
    inconclusive: str = ""


@dataclass(frozen=True)
class CiliumAddresses:
    """The ipcache and the map of endpoints on one node."""

    seen: NodeSeen
    usage: EbpfMapUsage
    namespaces: PodNamespaces

    @property
    def wanted(self) -> PodAddresses:
        """The addresses of the cluster's pods."""
        return self.seen.cluster.pod_addresses

    @cached_property
    def _document(self) -> EbpfMaps:
        """Raises NotApplicable where the maps were not read, FactMissingError if that failed."""
        return self.usage.document

    @cached_property
    def ipcache(self) -> IpCache:
        """The ipcache. Raises FactMissingError if it cannot be decoded."""
        try:
            return ipcache_of(self._document)
        except ParseError as error:
            raise FactMissingError(f"{self.seen.name}: {error}.") from error

    @cached_property
    def endpoints(self) -> Mapping[str, LocalEndpoint]:
        """The node's own endpoints. Raises FactMissingError if they cannot be decoded."""
        try:
            return endpoints_of(self._document)
        except ParseError as error:
            raise FactMissingError(f"{self.seen.name}: {error}.") from error

    # Identities.

    @property
    def identities(self) -> Iterator[AddressMismatch]:
        """Pods' addresses that have no identity in the ipcache, or another one."""
        known = self.ipcache.addresses
        missing = [each for at, each in self.wanted.by_address.items() if at not in known]
        yield from _at_most(self._part("ipcache"), [self._absent(each) for each in missing])
        here = {(address, each.identity) for address, each in known.items()}
        for address, identity in sorted(self.wanted.identified - here):
            if address in known:
                pod = self.wanted.by_address[address].pod
                words = _identity(known[address].identity)
                yield AddressMismatch(pod.ref, address, _identity(identity), words)
        yield from self._without_identity

    @property
    def _without_identity(self) -> Iterator[AddressMismatch]:
        if not self.wanted.identified:
            reason = "identities, because no CiliumEndpoint was read"
            yield AddressMismatch(self._part("ipcache"), "", "", "", inconclusive=reason)
            return
        for address, each in self.wanted.by_address.items():
            if not each.identity and address in self.ipcache.addresses:
                yield AddressMismatch(each.pod.ref, address, "", "", inconclusive=NO_IDENTITY)

    def _absent(self, of: PodAddress) -> AddressMismatch:
        wanted = _identity(of.identity) if of.identity else "an identity"
        return AddressMismatch(
            of.pod.ref,
            of.address,
            f"{wanted} for {of.address}",
            f"no entry: it counts as {self._instead(of.address)}",
            is_harmful=False,
        )

    def _instead(self, address: str) -> str:
        """The entry that packets with an address meet: the longest range."""
        own = ip_address(address)
        ranges = [(ip_network(each), of) for each, of in self.ipcache.ranges.items()]
        matching = [(net.prefixlen, str(net), of) for net, of in ranges if own in net]
        if not matching:
            return "nobody"
        _, range_, of = max(matching)
        return f"{_identity(of.identity)} of {range_}"

    @property
    def stale(self) -> Iterator[AddressMismatch]:
        """Addresses with the identity of a pod that no pod has any more."""
        gone = self.ipcache.addresses.keys() - self.wanted.of_any_pod
        found = [(each, self.ipcache.addresses[each].identity) for each in sorted(gone)]
        odd = [
            AddressMismatch(
                self._part(f"ipcache {address}"),
                address,
                "no identity of a pod",
                f"{_identity(identity)}, and no pod has the address",
                is_harmful=False,
            )
            for address, identity in found
            if identity >= RESERVED and identity >> BITS_OF_CLUSTER in self.wanted.clusters
        ]
        yield from _at_most(self._part("ipcache"), odd)

    # Tunnel endpoints.

    @property
    def tunnels(self) -> Iterator[AddressMismatch]:
        """Addresses of pods on other nodes that are not sent to their node.

        Raises NotApplicable where the node has no tunnel.
        """
        if not self.has_tunnel:
            raise NotApplicable("Cilium sends to other nodes without a tunnel")
        wrong = [each for each in self._tunnels if not each.inconclusive]
        yield from _at_most(self._part("ipcache"), wrong)
        yield from (each for each in self._tunnels if each.inconclusive)
        for (first, length), known in sorted(self.ipcache.ranges.items()):
            if known.tunnel and known.tunnel not in self._nodes:
                yield AddressMismatch(
                    self._part(f"ipcache {first}/{length}"),
                    f"{first}/{length}",
                    "the tunnel endpoint of a node",
                    f"{known.tunnel}, which is not a node",
                    is_harmful=False,
                )

    @cached_property
    def has_tunnel(self) -> bool:
        """Whether Cilium has a device for a tunnel to other nodes."""
        return any(each.is_tunnel for each in self.seen.host.interfaces if _is_own(each.name))

    @property
    def decides_tunnels(self) -> bool:
        """Whether any address of a pod has a tunnel endpoint that can be evaluated."""
        known = self.ipcache.addresses
        direct = sum(bool(each.inconclusive) for each in self._tunnels)
        return len(known.keys() & self.wanted.by_address.keys()) > direct

    @cached_property
    def _tunnels(self) -> tuple[AddressMismatch, ...]:
        """What is wrong with the tunnel endpoint of each address."""
        found = self.ipcache.addresses
        both = found.keys() & self.wanted.by_address.keys()
        pairs = ((self.wanted.by_address[each], found[each]) for each in sorted(both))
        return tuple(filter(None, (self._tunnel(pod, known) for pod, known in pairs)))

    def _tunnel(self, of: PodAddress, known: KnownAddress) -> AddressMismatch | None:
        node = of.pod.node_name
        is_here = node == self.seen.name
        if self._nodes.get(known.tunnel) == node or (is_here and not known.tunnel):
            return None
        if known.skips_tunnel:
            return AddressMismatch(of.pod.ref, of.address, "", "", inconclusive=DIRECT)
        wanted = "no tunnel: the pod is on this node" if is_here else f"tunnel to {node}"
        where = self._nodes.get(known.tunnel, "which is not a node")
        words = f"tunnel to {known.tunnel}, {where}" if known.tunnel else "no tunnel"
        return AddressMismatch(of.pod.ref, of.address, wanted, words)

    @cached_property
    def _nodes(self) -> Mapping[str, str]:
        """The nodes by their addresses."""
        nodes = self.seen.cluster.nodes
        return {str(a): name for name, node in nodes.items() for a in all_addresses(node)}

    # Endpoints.

    @property
    def devices(self) -> Iterator[AddressMismatch]:
        """Addresses of the node's own pods that are not delivered to the pod's device."""
        veths = {each.pod.ref: each for each in self.namespaces.veths}
        for pod in self.seen.pods:
            if not pod.has_own_netns or self.namespaces.why_hidden(pod):
                continue
            veth = veths.get(pod.ref)
            device = veth.outer if veth else None
            for address in map(str, sorted(pod.addresses, key=int)):
                found = self.endpoints.get(address)
                if found is None:
                    wanted = f"an endpoint with {address}"
                    yield AddressMismatch(pod.ref, address, wanted, "no entry")
                elif device and found.device != device.index:
                    wanted = f"{address} delivered to {device.name}"
                    words = f"to {self._device(found.device)}"
                    yield AddressMismatch(pod.ref, address, wanted, words)
                elif wrong := self._other_identity(address, found):
                    yield replace(wrong, ref=pod.ref)

    def _other_identity(self, address: str, found: LocalEndpoint) -> AddressMismatch | None:
        known = self.wanted.by_address.get(address)
        if known is None or not known.identity or known.identity == found.identity:
            return None
        wanted = f"{_identity(known.identity)} for {address}"
        return AddressMismatch(known.pod.ref, address, wanted, _identity(found.identity))

    @property
    def stale_endpoints(self) -> Iterator[AddressMismatch]:
        """Endpoints with an address that no pod of the node has."""
        helpers = self.seen.cluster.pod_index.helpers_by_node.get(self.seen.name, ())
        own = {str(each) for pod in (*self.seen.pods, *helpers) for each in pod.addresses}
        for address, each in sorted(self.endpoints.items()):
            if not each.is_host and address not in own and each.identity not in WITHOUT_POD:
                yield AddressMismatch(
                    self._part(f"endpoint {address}"),
                    address,
                    "no endpoint: no pod of the node has the address",
                    f"endpoint {each.number} at {self._device(each.device)}",
                    is_harmful=False,
                )

    def lines_of(self, address: str) -> Iterator[str]:
        """What both maps have for an address, as text."""
        known = self.ipcache.addresses.get(address)
        tunnel = f", tunnel to {known.tunnel}" if known and known.tunnel else ""
        words = f"{_identity(known.identity)}{tunnel}" if known else "no entry"
        yield f"cilium_ipcache: {address}, {words}"
        found = self.endpoints.get(address)
        if found is None:
            yield f"cilium_lxc: {address}, no entry"
            return
        where = self._device(found.device)
        yield f"cilium_lxc: {address}, endpoint {found.number} at {where}, " + _identity(
            found.identity
        )

    def _device(self, index: int) -> str:
        names = (each.name for each in self.seen.host.interfaces if each.index == index)
        return next(names, f"device {index}, which does not exist")

    def _part(self, part: str) -> Ref:
        return self.seen.part(part)


def _is_own(device: str) -> bool:
    return device.startswith("cilium_")


def _identity(number: int) -> str:
    name = NAMES.get(number)
    return f"identity {number} ({name})" if name else f"identity {number}"


def _at_most(ref: Ref, found: list[AddressMismatch]) -> Iterator[AddressMismatch]:
    """Each of a few, or one for many."""
    if len(found) <= MOST:
        yield from found
        return
    first = replace(found[0], ref=ref)
    yield replace(
        first,
        address="",
        expected=f"entries of {plural(len(found), 'address', 'addresses')} as in the API",
        found=f"none of them, such as {listed([each.address for each in found], 3)}: "
        f"{found[0].expected} expected, {found[0].found} found",
    )
