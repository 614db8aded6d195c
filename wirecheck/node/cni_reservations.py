"""The addresses that the CNI plugin host-local reserves on one node."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from wirecheck.addresses import IPAddress, IPNetwork, address, contains
from wirecheck.catalogue.findings import NotApplicable
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.cni_files import CniConfiguration, CniFiles, CniReservation

YOUNG = 300.0
"""Seconds by which a reservation may precede its pod, or outlast it."""

RESERVED = 3
"""Addresses of a range that no pod gets: the network, the gateway and the broadcast address."""

DEFAULT_FOLDER = "/var/lib/cni/networks"


@dataclass(frozen=True)
class Reservation:
    """An address that host-local reserves for a sandbox."""

    network: str
    address: str
    age_minutes: float
    folder: str
    file: str
    """The name of its file, which has no colons."""

    @property
    def place(self) -> tuple[str, str]:
        """Its directory."""
        return self.folder, self.network


@dataclass(frozen=True)
class Reservations:
    """The reservations of one node, and the configurations that host-local assigns them for."""

    seen: NodeSeen
    files: CniFiles
    in_force: tuple[CniConfiguration, ...]

    @cached_property
    def in_use(self) -> tuple[Reservation, ...]:
        """The reservations of networks that are in use: others are left by earlier plugins.

        Raises NotApplicable if host-local keeps the addresses of the node's pods elsewhere.
        """
        found = [_reservation(each) for each in self.files.reservations or ()]
        alive = {each.place for each in found if each.address in self._used}
        if self.files.data_folders is not None or not self.seen.families_of_pods:
            alive |= {each.place for each in found if self._is_in_force(each)}
        if found and not alive:
            raise NotApplicable(
                f"host-local keeps no addresses of the node's pods in {found[0].folder}, the "
                "directory that was read"
            )
        return tuple(each for each in found if each.place in alive)

    @cached_property
    def _used(self) -> frozenset[str]:
        """The addresses that a netns or a pod of the node has."""
        own = {each.address for netns in self.seen.facts.namespaces for each in netns.addresses}
        return frozenset(own | {str(each) for pod in self.seen.pods for each in pod.addresses})

    def _is_in_force(self, found: Reservation) -> bool:
        """Whether a configuration in force assigns addresses of the reservation's network."""
        return not self.in_force or any(
            bool(each.problem)
            or (
                each.network in ("", found.network)
                and found.folder in (each.data_folders or [DEFAULT_FOLDER])
            )
            for each in self.in_force
        )

    @property
    def leaked(self) -> Iterator[Reservation]:
        """Addresses that are reserved, though no netns and no pod of the node has them."""
        for each in self.in_use:
            if each.address not in self._used and each.age_minutes * 60 > YOUNG:
                yield each

    @property
    def pools(self) -> Iterator[tuple[IPNetwork, int, int]]:
        """(range, reserved addresses, usable addresses) of each of the node's ranges."""
        found = [each for each in self.in_use if self._is_in_force(each)]
        reserved: list[IPAddress] = [address(each.address) for each in found]
        for range_ in self.seen.pod_ranges:
            count = sum(contains([range_], each) for each in reserved)
            yield range_, count, range_.num_addresses - RESERVED


def _reservation(found: CniReservation) -> Reservation:
    where = found.address.replace("_", ":")
    return Reservation(found.network, where, found.age / 60, found.folder, found.address)
