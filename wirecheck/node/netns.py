"""A network namespace: interfaces, their addresses, and routes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, address, network
from wirecheck.catalogue.findings import FactMissingError
from wirecheck.snapshot.netns import Link, Namespace

PAIRED_KINDS = frozenset({"veth", "netkit"})
"""Kinds of interfaces that are created in pairs, one end in each netns."""
OPEN_VSWITCH = "openvswitch"
KERNEL = 2
"""The protocol of routes that the kernel adds for the network of an address."""
TUNNELS = frozenset({"vxlan", "geneve", "ipip", "sit", "ip6tnl", "gre", "wireguard", "tun"})


@dataclass(frozen=True)
class Interface:
    """A network interface with its addresses."""

    link: Link
    addresses: frozenset[IPAddress]
    networks: frozenset[IPNetwork]

    @property
    def index(self) -> int:
        return self.link.index

    @property
    def name(self) -> str:
        return self.link.name

    @property
    def mtu(self) -> int:
        return self.link.mtu

    @property
    def is_paired(self) -> bool:
        return self.link.kind in PAIRED_KINDS

    @property
    def is_bridge(self) -> bool:
        return self.link.kind == "bridge"

    @property
    def is_open_vswitch(self) -> bool:
        """Whether it is a datapath of Open vSwitch, which is the master of its ports."""
        return self.link.kind == OPEN_VSWITCH

    @property
    def is_tunnel(self) -> bool:
        return self.link.kind in TUNNELS

    @property
    def is_tap(self) -> bool:
        """Whether it is the host's side of a virtual machine's interface.

        A tun device of a VPN has the same kind, but no MAC and another name.
        """
        return self.link.kind == "tun" and self.name.startswith(("tap", "vnet"))

    @property
    def is_up(self) -> bool:
        """Whether it is administratively up."""
        return "UP" in self.link.flags


@dataclass(frozen=True)
class Netns:
    """One network namespace. Raises FactMissingError where the visit could not read it."""

    record: Namespace

    @property
    def inode(self) -> int:
        return self.record.inode

    @property
    def nsid(self) -> int | None:
        """Its nsid in the host's netns."""
        return self.record.nsid

    @cached_property
    def interfaces(self) -> tuple[Interface, ...]:
        """All interfaces except lo."""
        if self.record.error:
            raise FactMissingError(self.record.error)
        return tuple(
            Interface(
                link,
                frozenset(
                    address(a.address) for a in self.record.addresses if a.index == link.index
                ),
                frozenset(
                    network(f"{a.address}/{a.prefix}")
                    for a in self.record.addresses
                    if a.index == link.index
                ),
            )
            for link in self.record.links
            if "LOOPBACK" not in link.flags
        )

    @cached_property
    def by_index(self) -> dict[int, Interface]:
        return {each.index: each for each in self.interfaces}

    def at(self, index: int | None) -> Interface | None:
        """Return the interface with that index."""
        return None if index is None else self.by_index.get(index)

    @cached_property
    def addresses(self) -> frozenset[IPAddress]:
        """The addresses on all interfaces except lo."""
        return frozenset(a for each in self.interfaces for a in each.addresses)

    @property
    def primary(self) -> Interface | None:
        """The pod's own interface: eth0, the name that runtimes pass to CNI plugins."""
        return next((each for each in self.interfaces if each.name == "eth0"), None)

    @cached_property
    def has_virtual_machine(self) -> bool:
        """Whether a virtual machine in this netns has the pod's address.

        KubeVirt and Virtlet attach the pod's interface and the machine's tap device to a bridge,
        Kata mirrors the packets to its tap device, and others attach the machine by macvtap.
        """
        taps = [each for each in self.interfaces if each.is_tap]
        bridged = {each.link.master for each in taps} - {None}
        pods = {each.link.master for each in self.interfaces if each.name in ("eth0", "eth0-nic")}
        return (
            any(each.name.endswith("_kata") for each in taps)
            or any(each.link.kind in ("macvtap", "ipvtap") for each in self.interfaces)
            or any(each.is_bridge and each.name.startswith("k6t-") for each in self.interfaces)
            or bool(bridged & pods)
        )

    @cached_property
    def bridges(self) -> dict[str, int]:
        """The number of ports of each bridge."""
        masters = [each.link.master for each in self.interfaces]
        return {each.name: masters.count(each.index) for each in self.interfaces if each.is_bridge}

    def master_of(self, interface: Interface) -> Interface | None:
        """Return the bridge, switch or VRF that the interface is a port of."""
        return self.at(interface.link.master)

    @cached_property
    def has_pairs_on_open_vswitch(self) -> bool:
        """Whether a pair into another netns is a port of Open vSwitch."""
        masters = [
            self.master_of(each)
            for each in self.interfaces
            if each.is_paired and each.link.peer_nsid is not None
        ]
        return any(each is not None and each.is_open_vswitch for each in masters)

    @cached_property
    def devices_of_routes(self) -> frozenset[int]:
        """The indexes of interfaces with a route that a program added, not the kernel."""
        routes = (each for each in self.record.routes if each.protocol != KERNEL)
        return frozenset(each.index for each in routes if each.index is not None)

    @cached_property
    def host_routes(self) -> dict[IPAddress, frozenset[int]]:
        """Routes to single addresses: the indexes of their interfaces."""
        routes: dict[IPAddress, set[int]] = {}
        for route in self.record.routes:
            if route.index is None or "/" not in route.destination:
                continue
            range_ = network(route.destination)
            if range_.num_addresses == 1:
                routes.setdefault(range_.network_address, set()).add(route.index)
        return {where: frozenset(indexes) for where, indexes in routes.items()}
