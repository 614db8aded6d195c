"""What Cilium's eBPF maps on one node do with connections to Services, compared with the API."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from ipaddress import ip_address

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.summary import Summary, summarised
from wirecheck.dataplane.ebpf.contents import ServiceEntries
from wirecheck.dataplane.ebpf.maps import CiliumMaps, cilium_maps, families_of
from wirecheck.dataplane.ebpf.node_view import CiliumNode, cilium_node, local_addresses
from wirecheck.dataplane.ebpf.reader import entry_in, read_cilium
from wirecheck.dataplane.ebpf.shared import ANY_NODE
from wirecheck.dataplane.expected.cilium import AlikeEntries, expected_for_cilium
from wirecheck.dataplane.table import NOTHING, Client, Frontend, Handling, ServiceTable
from wirecheck.network.plugins.cilium import PLUGIN as CILIUM
from wirecheck.node.dataplane import Dataplane
from wirecheck.node.pod_programs import PodPrograms
from wirecheck.node.seen import NodeSeen
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.ebpf_maps import EbpfMaps

WITHOUT_MAPS = (
    "Run the visit as root, or let the agent pod have CAP_SYS_ADMIN; Cilium pins its maps in "
    "/sys/fs/bpf/tc/globals of the node"
)

FEW = 5
"""Addresses of which the entries are decoded one by one; for more, all entries are decoded once."""
BY_SOCKET = (
    "the backend is chosen when the client connects (socket load balancing), so the Service's "
    "address is never on the wire"
)
AT_DEVICE = "the backend is chosen by the program on the pod's device"
ON_ENTRY = "the backend is chosen by the program on the device at which the packet enters the node"


@dataclass(frozen=True)
class CiliumServices:
    """The Services that Cilium forwards on one node, in kube-proxy's place or for its pods only."""

    seen: NodeSeen
    programs: PodPrograms

    @cached_property
    def replaces_kube_proxy(self) -> bool:
        """Whether Cilium forwards everything that kube-proxy would."""
        return self.seen.proxy_replacement == CILIUM.name

    @property
    def forwards(self) -> bool:
        """Whether Cilium forwards anything on the node."""
        is_of_pods = self.seen.cni.name == CILIUM.name and bool(self.programs.forwards_for_pods)
        return self.replaces_kube_proxy or is_of_pods

    @property
    def were_read(self) -> bool:
        """Whether the visit tried to read the maps; older programs did not."""
        is_known = self.seen.document is not None and (
            self.seen.facts.ebpf is not None or bool(self.seen.facts.problem_with(Fact.EBPF_MAPS))
        )
        return is_known and self.forwards

    @property
    def why_not_by_kube_proxy(self) -> str:
        """Why kube-proxy's rules do not meet what pods send to Services; empty if they do."""
        if not self.were_read:
            return self.programs.why_not_by_kube_proxy
        pods = "connections of pods to cluster IPs and external IPs"
        return f"{pods}, which {CILIUM} forwards: its eBPF maps do not show masquerading"

    @property
    def clients(self) -> tuple[Client, ...]:
        """Whose connections Cilium translates on the node."""
        everyone = (Client.POD, Client.NODE, Client.OUTSIDE)
        return everyone if self.replaces_kube_proxy else (Client.POD,)

    def where_decided(self, clients: Iterable[Client]) -> str:
        """Where the backends of these clients' connections are chosen, as a sentence."""
        by_socket: list[str] = []
        at_device: list[str] = []
        on_entry: list[str] = []
        for each in clients:
            if each is Client.OUTSIDE:
                on_entry.append(each)
            elif self.translates_socket(each):
                by_socket.append(each)
            else:
                at_device.append(each)
        places = {BY_SOCKET: by_socket, AT_DEVICE: at_device, ON_ENTRY: on_entry}
        return "; ".join(f"{' and '.join(of)}: {where}" for where, of in places.items() if of)

    def translates_socket(self, client: Client) -> bool:
        """Whether the client's connections are translated when it connects."""
        of_host_only = self.seen.cluster.translates_sockets_of_host_only
        return self.replaces_kube_proxy and not (client is Client.POD and of_host_only)

    @cached_property
    def document(self) -> EbpfMaps:
        """The maps as they were read. Raises FactMissingError if that failed."""
        found = self.seen.collected(self.seen.facts.ebpf, Fact.EBPF_MAPS, EbpfMaps("little"))
        if not found.maps:
            reason = found.problem or "no eBPF map of Services is pinned"
            raise FactMissingError(f"{self.seen.name}: {reason}. {WITHOUT_MAPS}.")
        return found

    @property
    def families(self) -> frozenset[int]:
        """The IP families that Cilium forwards."""
        return families_of(self.document)

    @cached_property
    def tables(self) -> tuple[ServiceTable, ServiceTable]:
        """What the API asks of the maps, and what they do, as the maps of this node show it.

        Raises FactMissingError if the maps cannot be decoded.
        """
        node, wanted = self._wanted(self._maps)
        return wanted, read_cilium(self._maps, node, wanted.entries)

    def handling(self, frontend: Frontend, client: Client) -> Handling:
        """What the maps do with a client's connections, as `tables` has it for all frontends."""
        maps = self._maps_at(frontend.address)
        return entry_in(maps, self._node_by(maps), frontend).handlings.get(client, NOTHING)

    def _maps_at(self, address: str) -> CiliumMaps:
        """The maps with the entries that decide about an address: most of a node's are not asked.

        Raises FactMissingError if the maps cannot be decoded.
        """
        known = self._by_address
        if address not in known:
            if len(known) == FEW:
                return self._maps
            own = local_addresses(self.seen.object, map(str, self.seen.host.addresses))
            wanted = {*own, *ANY_NODE, *filter(None, [address])}
            try:
                entries = ServiceEntries.of(self.document)
                known[address] = entries.decoded({ip_address(each).packed for each in wanted})
            except ParseError as error:
                raise self._unreadable(error) from error
        return known[address]

    @cached_property
    def _by_address(self) -> dict[str, CiliumMaps]:
        return {}

    @cached_property
    def _maps(self) -> CiliumMaps:
        try:
            return cilium_maps(self.document)
        except ParseError as error:
            raise self._unreadable(error) from error

    @cached_property
    def summary(self) -> Summary:
        """The differences between the maps and the API. What other nodes have alike is not read.

        Raises FactMissingError if the maps cannot be decoded.
        """
        readers = self.seen.cluster.readers
        own = local_addresses(self.seen.object, map(str, self.seen.host.addresses))
        try:
            reading = readers.of_cilium.reading(
                self.document, own, replaces_kube_proxy=self.replaces_kube_proxy
            )
        except ParseError as error:
            raise self._unreadable(error) from error
        node, wanted = self._wanted(reading.maps)
        found = reading.table(node, wanted.entries)
        differences = compare(wanted, found, readers.equal_in_cilium)
        readers.of_cilium.keep(reading, found, (each.frontend for each in differences))
        return summarised(wanted, differences)

    def _wanted(self, maps: CiliumMaps) -> tuple[CiliumNode, ServiceTable]:
        """The node by its maps, and what the API asks of it. Raises FactMissingError."""
        cluster, node = self.seen.cluster, self._node_by(maps)
        self._require_families(node)
        alike = cluster.kept(AlikeEntries, AlikeEntries)
        return node, expected_for_cilium(cluster.cilium_ports, node, alike)

    def _require_families(self, node: CiliumNode) -> None:
        """Raise FactMissingError if nothing is known about a family that only Cilium can forward.

        Services of a family that Cilium is not to forward have no endpoints: pods lack an address
        of it.
        """
        if not self.replaces_kube_proxy:
            return
        ports = self.seen.cluster.cilium_ports
        served = {each.facts.family for each in ports if any(each.endpoints)}
        for family in sorted(served.intersection(node.addresses) - node.families):
            raise FactMissingError(
                f"{self.seen.name}: no eBPF map of IPv{family} is pinned, although Services have "
                f"endpoints with IPv{family}. {WITHOUT_MAPS}."
            )

    def _node_by(self, maps: CiliumMaps) -> CiliumNode:
        return cilium_node(
            self.seen.object,
            map(str, self.seen.host.addresses),
            maps,
            replaces_kube_proxy=self.replaces_kube_proxy,
            follows_topology=self.seen.cluster.follows_topology,
        )

    def _unreadable(self, error: ParseError) -> FactMissingError:
        return FactMissingError(f"{self.seen.name}: {error}.")

    @property
    def dataplane(self) -> Dataplane:
        """The comparison where Cilium forwards in kube-proxy's place."""
        problems = self.seen.cluster.service_index.problems
        return Dataplane(
            self.seen.ref, None, problems=problems, cilium=self.summary, where=self.where_decided
        )
