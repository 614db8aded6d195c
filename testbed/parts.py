"""Everything that is made once and kept in the cache, and what the machine must offer."""

from __future__ import annotations

from testbed import access, components, host, images, nodes, rootfs, vm_disk
from testbed.file_layout import KUBEADM, FileLayout
from testbed.layout import SUBNETS, Layout
from testbed.networks.pod_network import DEFAULT, PodNetwork, build_images, network_named
from testbed.state import State
from testbed.steps import step


def prepare_host(here: State) -> None:
    """Install what the machine lacks, and have a Docker Engine."""
    host.check_user()
    missing = host.missing_packages(host.PACKAGES)
    if missing:
        with step(f"install {', '.join(missing)}"):
            host.install(missing, here)
    if not host.docker_answers():
        with step("start the Docker Engine"):
            host.start_docker(here)


def make(here: State, network: PodNetwork | None = None, file_layout: FileLayout = KUBEADM) -> None:
    """Build binaries, root file system and images, as far as they are not in the cache.

    With what this pod network and this layout of files need beside the parts of every cluster.
    """
    network = network or network_named(DEFAULT)
    further = (*network.components, *file_layout.components)
    for component in components.outdated(here, further):
        with step(f"build {component.name}"):
            components.build(component, here)
    components.link_programs(here)
    access.make_keys(here, Layout(SUBNETS[0]).nodes(vm=True))
    with step("root file system"):
        rootfs.bootstrap(here)
        rootfs.furnish(here)
    with step("images"):
        images.build_images(here)
        nodes.build_node_image(here)
        build_images(here, network)


def make_vm(here: State) -> None:
    """Make the virtual machine's disk, if it is not in the cache."""
    with step("disk of the virtual machine"):
        vm_disk.make_disk(here)
