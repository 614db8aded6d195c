"""Settings in files of a node: the kubelet's, those applied at boot, those of device managers."""

from __future__ import annotations

from typing import Annotated

from wirecheck.snapshot.part import FEW, MANY, SnapshotPart, Word


class Kubelet(SnapshotPart, frozen=True):
    """The kubelet's DNS settings for pods; None in the document if no kubelet runs."""

    flags: Annotated[dict[Word, Word], FEW] = {}
    """`cluster-dns`, `cluster-domain`, `config` and `config-dir`, if they are set."""
    lines: Annotated[list[Word], MANY] = []
    """The `clusterDNS` and `clusterDomain` of its configuration, as lines of YAML."""
    problem: Word = ""
    """Why the configuration was not read."""
    merged: bool = False
    """Whether `lines` is what the files of `config-dir` give together."""


class SysctlFile(SnapshotPart, frozen=True):
    """A file that is applied at boot, with its lines about relevant sysctls."""

    file: Word
    lines: Annotated[list[Word], MANY] = []


class SettingsFile(SnapshotPart, frozen=True):
    """A file in sections, `[Match]`, with its lines about devices, such as `OriginalName=*`."""

    file: Word
    lines: Annotated[list[Word], MANY] = []


class DeviceManagers(SnapshotPart, frozen=True):
    """Programs that may reconfigure network devices, and their configuration of devices."""

    running: Annotated[list[Word], FEW] = []
    """NetworkManager, systemd-networkd, systemd-udevd."""
    links: Annotated[list[SettingsFile], MANY] = []
    """The .link files of systemd-udevd with their drop-ins, in the order in which they match."""
    networkd: Annotated[list[SettingsFile], MANY] = []
    """In the order in which they are read; the last setting applies. So for NetworkManager."""
    network_manager: Annotated[list[SettingsFile], MANY] = []
