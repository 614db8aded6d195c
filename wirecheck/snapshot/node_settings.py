"""Settings in files of a node: the kubelet's, those applied at boot, those of device managers."""

from __future__ import annotations

from wirecheck.snapshot.part import SnapshotPart


class Kubelet(SnapshotPart, frozen=True):
    """The kubelet's DNS settings for pods; None in the document if no kubelet runs."""

    flags: dict[str, str] = {}
    """`cluster-dns`, `cluster-domain`, `config` and `config-dir`, if they are set."""
    lines: list[str] = []
    """The `clusterDNS` and `clusterDomain` of its configuration, as lines of YAML."""
    problem: str = ""
    """Why the configuration was not read."""


class SysctlFile(SnapshotPart, frozen=True):
    """A file that is applied at boot, with its lines about relevant sysctls."""

    file: str
    lines: list[str] = []


class SettingsFile(SnapshotPart, frozen=True):
    """A file in sections, `[Match]`, with its lines about devices, such as `OriginalName=*`."""

    file: str
    lines: list[str] = []


class DeviceManagers(SnapshotPart, frozen=True):
    """Programs that may reconfigure network devices, and their configuration of devices."""

    running: list[str] = []
    """NetworkManager, systemd-networkd, systemd-udevd."""
    links: list[SettingsFile] = []
    """The .link files of systemd-udevd with their drop-ins, in the order in which they match."""
    networkd: list[SettingsFile] = []
    """In the order in which they are read; the last setting applies. So for NetworkManager."""
    network_manager: list[SettingsFile] = []
