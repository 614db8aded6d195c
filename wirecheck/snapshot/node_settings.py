"""What files of a node set: for the kubelet, at boot, for programs that manage devices."""

from __future__ import annotations

from wirecheck.snapshot.part import SnapshotPart


class Kubelet(SnapshotPart, frozen=True):
    """What the kubelet tells pods of DNS; None in a document where no kubelet was found."""

    flags: dict[str, str] = {}
    """`cluster-dns`, `cluster-domain`, `config` and `config-dir`, as far as they are given."""
    lines: list[str] = []
    """Of its configuration, as YAML: `clusterDNS` and `clusterDomain`, and nothing else."""
    problem: str = ""
    """Why the configuration was not read."""


class SysctlFile(SnapshotPart, frozen=True):
    """A file that is applied at boot, and its lines about sysctls that matter here."""

    file: str
    lines: list[str] = []


class SettingsFile(SnapshotPart, frozen=True):
    """A file in sections, `[Match]`, with its lines about devices, `OriginalName=*`."""

    file: str
    lines: list[str] = []


class DeviceManagers(SnapshotPart, frozen=True):
    """Programs that may take hold of network devices, and what they are told of them."""

    running: list[str] = []
    """NetworkManager, systemd-networkd, systemd-udevd."""
    links: list[SettingsFile] = []
    """Of systemd-udevd, each with its drop-ins, in the order in which they are tried."""
    networkd: list[SettingsFile] = []
    """In the order in which they are read, as those of NetworkManager: the last setting counts."""
    network_manager: list[SettingsFile] = []
