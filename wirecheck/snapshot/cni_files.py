"""Files of a node's CNI plugins, reduced to what a snapshot may contain."""

from __future__ import annotations

from typing import Annotated

from wirecheck.snapshot.part import FEW, MANY, VERY_MANY, SnapshotPart, Word


class CniConfiguration(SnapshotPart, frozen=True):
    """A CNI configuration: only names, types and paths, because plugins keep tokens there."""

    file: Word
    network: Word = ""
    plugins: Annotated[list[Word], FEW] = []
    """The types of its plugins, which are the names of their programs."""
    ipam: Annotated[list[Word], FEW] = []
    problem: Word = ""
    """Why the file could not be parsed."""
    data_folders: Annotated[list[Word], FEW] = []
    """Where host-local keeps its reservations, as `ipam.dataDir` says. Empty means its default."""
    kubeconfigs: Annotated[list[Word], FEW] = []
    """The paths of the kubeconfigs that it names."""
    ip_masq: bool | None = None
    """Whether a plugin has `ipMasq`; None if none names it, and in documents of older programs."""
    delegates: Annotated[list[CniConfiguration], FEW] = []
    """The configurations that it holds itself for the plugins that it calls (Multus)."""
    calls: Word = ""
    """The file of the configuration that it calls (`clusterNetwork` of Multus)."""


class CniReservation(SnapshotPart, frozen=True):
    """An address reserved by host-local: a file in FOLDER/NETWORK."""

    network: Word
    address: Word
    age: float
    """Seconds since the reservation."""
    folder: Word = "/var/lib/cni/networks"


class CniToken(SnapshotPart, frozen=True):
    """A kubeconfig below the folder of configurations: only when its token expires."""

    file: Word
    expires: float
    """Seconds since the epoch."""


class CniRuntime(SnapshotPart, frozen=True):
    """The folders that the container runtime is configured to use."""

    program: Word
    """containerd, crio, cri-dockerd."""
    configuration_folder: Word
    plugin_folders: Annotated[list[Word], FEW]
    problem: Word = ""
    """Why its configuration could not be read. The folders are the defaults then."""


class CniFiles(SnapshotPart, frozen=True):
    """The files of the CNI plugins; None for a folder that does not exist."""

    configurations: Annotated[list[CniConfiguration], FEW] | None = None
    binaries: Annotated[list[Word], MANY] | None = None
    """The programs in all plugin folders."""
    reservations: Annotated[list[CniReservation], VERY_MANY] | None = None
    tokens: Annotated[list[CniToken], FEW] | None = None
    runtime: CniRuntime | None = None
    """None in documents of older programs, which read /etc/cni/net.d and /opt/cni/bin, and where
    no container runtime was found."""
    data_folders: Annotated[list[Word], FEW] | None = None
    """The folders of host-local that were read. None in documents of older programs, which read
    its default folder, and no kubeconfigs of configurations."""
    delegated: Annotated[list[CniConfiguration], FEW] = []
    """Configurations outside of the runtime's folder that Multus calls."""
