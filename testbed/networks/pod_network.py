"""A pod network as data: what is built for it, what is applied, and what a healthy one shows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import yaml
from msgspec import Struct

from testbed.commands import TestbedError
from testbed.components import Component, copy_module
from testbed.debian_archive import unpack
from testbed.faults.fault import Outcome, Red, flat
from testbed.images import Image, build_further_images, image
from testbed.nodes import Mount
from testbed.state import SOURCE, State

DEFAULT = "flannel"
_FOLDER = SOURCE / "networks"


class ProgramImage(Struct, frozen=True, forbid_unknown_fields=True):
    """An image that only this network needs: one program beside the usual net tools."""

    name: str
    tag: str
    program: str
    """The name of its component."""
    path: str
    """Where the program is in the image, without the leading slash."""

    def image(self) -> Image:
        return Image(image(self.name, self.tag), (self.path, "net-tools"))


class PodNetwork(Struct, frozen=True, forbid_unknown_fields=True):
    """One network. Its name is that of its file, `testbed/networks/NAME.yaml`."""

    name: str
    what: str
    """For people: what it consists of, with versions."""
    manifests: list[str]
    """Files of `testbed/manifests`, applied before the workers join."""
    after_workloads: list[str] = []
    """Those that name namespaces of the workloads."""
    values: dict[str, str] = {}
    """What the manifests leave open, beside what every network is given."""
    components: list[Component] = []
    """What is built beside the components of every cluster."""
    images: list[ProgramImage] = []
    packages: list[str] = []
    """Packages of the nodes' file system that its images have beside the usual net tools."""
    unpacked: list[str] = []
    """Debian packages that are unpacked into the cache, and installed nowhere."""
    beside: dict[str, str] = {}
    """Further files and folders in its images, and where each is in the state folder."""
    definitions: list[str] = []
    """Folders in the state folder whose CustomResourceDefinitions are applied first."""
    mounts: list[Mount] = []
    """What process 1 of a node mounts before containerd starts."""
    kube_proxy: bool = True
    """Whether kube-proxy runs: a network can forward Services by itself."""
    encapsulates: bool = True
    """Whether packets between nodes have the nodes' addresses outside, and not the pods'."""
    k3s: bool = False
    """Whether a node's files can be where k3s has them."""
    virtual_machine: bool = False
    """Whether the virtual machine, whose disk holds the usual images only, can be part of it."""
    shows: dict[str, dict[str, Outcome]] = {}
    """What a healthy cluster shows all the same, in the form of a fault's `failing`."""

    def reds(self) -> frozenset[Red]:
        """What a healthy cluster shows all the same; `every node` is not spelled out."""
        return frozenset(flat(self.shows))


def names() -> list[str]:
    """The names of all networks; the default one first."""
    found = sorted(file.stem for file in _FOLDER.glob("*.yaml"))
    return sorted(found, key=lambda name: name != DEFAULT)


def network_named(name: str) -> PodNetwork:
    """The network of this name; TestbedError where there is none."""
    if name not in names():
        raise TestbedError(
            f"there is no pod network {name!r}: choose one of {', '.join(names())}, or take the "
            "cluster down with the version of the test bed that started it"
        )
    return msgspec.convert({"name": name, **_fields(name)}, PodNetwork)


def _fields(name: str) -> dict[str, object]:
    """What a network's file has, on top of what the network has that it is based on."""
    own = yaml.safe_load((_FOLDER / f"{name}.yaml").read_text())
    basis = own.pop("based_on", "")
    return {**_fields(basis), **own} if basis else own


def manifest_paths(files: Iterable[str]) -> list[Path]:
    """The manifests of these names."""
    return [SOURCE / "manifests" / file for file in files]


def build_images(here: State, network: PodNetwork) -> None:
    """Make the archive of the network's own images, or find it made."""
    for component in network.components:
        copy_module(component, here)
    unpack(here, network.unpacked)
    if archive := images_archive(here, network):
        beside = {path: here.root / place for path, place in network.beside.items()}
        programs = _programs(here, network)
        build_further_images(here, programs, archive, network.packages, beside)


def images_archive(here: State, network: PodNetwork) -> Path | None:
    """Where the network's own images are; None if it needs only the usual ones."""
    return here.images / f"network-{network.images[0].name}.tar" if network.images else None


def _programs(here: State, network: PodNetwork) -> Mapping[Image, Path]:
    return {each.image(): here.bin / each.program for each in network.images}
