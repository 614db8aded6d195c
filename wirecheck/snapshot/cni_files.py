"""Files of a node's CNI plugins, reduced to what a snapshot may contain."""

from __future__ import annotations

from wirecheck.snapshot.part import SnapshotPart


class CniConfiguration(SnapshotPart, frozen=True):
    """A file in /etc/cni/net.d: only names and types, because plugins keep tokens there."""

    file: str
    network: str = ""
    plugins: list[str] = []
    """The types of its plugins, which are the names of their programs."""
    ipam: list[str] = []
    problem: str = ""
    """Why the file could not be parsed."""


class CniReservation(SnapshotPart, frozen=True):
    """An address reserved by host-local: a file in /var/lib/cni/networks/NETWORK."""

    network: str
    address: str
    age: float
    """Seconds since the reservation."""


class CniToken(SnapshotPart, frozen=True):
    """A kubeconfig below /etc/cni/net.d: only when its token expires."""

    file: str
    expires: float
    """Seconds since the epoch."""


class CniFiles(SnapshotPart, frozen=True):
    """The files of the CNI plugins; None for a folder that does not exist."""

    configurations: list[CniConfiguration] | None = None
    binaries: list[str] | None = None
    """The programs in /opt/cni/bin."""
    reservations: list[CniReservation] | None = None
    tokens: list[CniToken] | None = None
