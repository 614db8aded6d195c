"""Files of a node's CNI plugins, reduced to what a snapshot may contain."""

from __future__ import annotations

from wirecheck.snapshot.part import SnapshotPart


class CniConfiguration(SnapshotPart, frozen=True):
    """A CNI configuration: only names, types and paths, because plugins keep tokens there."""

    file: str
    network: str = ""
    plugins: list[str] = []
    """The types of its plugins, which are the names of their programs."""
    ipam: list[str] = []
    problem: str = ""
    """Why the file could not be parsed."""
    data_folders: list[str] = []
    """Where host-local keeps its reservations, as `ipam.dataDir` says. Empty means its default."""
    kubeconfigs: list[str] = []
    """The paths of the kubeconfigs that it names."""
    delegates: list[CniConfiguration] = []
    """The configurations that it holds itself for the plugins that it calls (Multus)."""
    calls: str = ""
    """The file of the configuration that it calls (`clusterNetwork` of Multus)."""


class CniReservation(SnapshotPart, frozen=True):
    """An address reserved by host-local: a file in FOLDER/NETWORK."""

    network: str
    address: str
    age: float
    """Seconds since the reservation."""
    folder: str = "/var/lib/cni/networks"


class CniToken(SnapshotPart, frozen=True):
    """A kubeconfig below the folder of configurations: only when its token expires."""

    file: str
    expires: float
    """Seconds since the epoch."""


class CniRuntime(SnapshotPart, frozen=True):
    """The folders that the container runtime is configured to use."""

    program: str
    """containerd, crio, cri-dockerd."""
    configuration_folder: str
    plugin_folders: list[str]
    problem: str = ""
    """Why its configuration could not be read. The folders are the defaults then."""


class CniFiles(SnapshotPart, frozen=True):
    """The files of the CNI plugins; None for a folder that does not exist."""

    configurations: list[CniConfiguration] | None = None
    binaries: list[str] | None = None
    """The programs in all plugin folders."""
    reservations: list[CniReservation] | None = None
    tokens: list[CniToken] | None = None
    runtime: CniRuntime | None = None
    """None in documents of older programs, which read /etc/cni/net.d and /opt/cni/bin, and where
    no container runtime was found."""
    data_folders: list[str] | None = None
    """The folders of host-local that were read. None in documents of older programs, which read
    its default folder, and no kubeconfigs of configurations."""
    delegated: list[CniConfiguration] = []
    """Configurations outside of the runtime's folder that Multus calls."""
