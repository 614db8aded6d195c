"""What the CNI plugins of a node keep in files, as far as it may enter a snapshot."""

from __future__ import annotations

from wirecheck.snapshot.part import SnapshotPart


class CniConfiguration(SnapshotPart, frozen=True):
    """A file in /etc/cni/net.d: names and types alone, since plugins keep tokens there."""

    file: str
    network: str = ""
    plugins: list[str] = []
    """Their types, which are the names of their programs."""
    ipam: list[str] = []
    problem: str = ""
    """Why it is not understood."""


class CniReservation(SnapshotPart, frozen=True):
    """An address that host-local holds: a file in /var/lib/cni/networks/NETWORK."""

    network: str
    address: str
    age: float
    """Seconds since it was taken."""


class CniToken(SnapshotPart, frozen=True):
    """A kubeconfig below /etc/cni/net.d whose token ends: of the token nothing but when."""

    file: str
    expires: float
    """Seconds since the epoch."""


class CniFiles(SnapshotPart, frozen=True):
    """What the CNI plugins go by; None for a folder that is not there."""

    configurations: list[CniConfiguration] | None = None
    binaries: list[str] | None = None
    """The programs in /opt/cni/bin."""
    reservations: list[CniReservation] | None = None
    tokens: list[CniToken] | None = None
