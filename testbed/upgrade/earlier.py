"""kube-proxy and CoreDNS as they were before: other versions than the test cluster's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from testbed import nodes
from testbed.commands import run
from testbed.components import KUBERNETES, Component, build
from testbed.components_of_referee import build_kube_proxy, program_of
from testbed.images import COREDNS_TAG, Image, build_further_images, image
from testbed.state import State

KUBE_PROXY = "1.33.13"
"""A minor version older than the API server, as it is in the middle of every upgrade."""

COREDNS = "1.14.6"
_COREDNS = Component(f"coredns-{COREDNS}", f"coredns-{COREDNS}", "github.com/coredns/coredns")

BEFORE = {
    "kube-proxy": image("kube-proxy", f"v{KUBE_PROXY}"),
    "coredns": image("coredns", f"v{COREDNS}"),
}
"""The images of the earlier versions by container."""

AFTER = {
    "kube-proxy": image("kube-proxy", KUBERNETES),
    "coredns": image("coredns", COREDNS_TAG),
}
"""The cluster's own."""

_IN_THE_NODE = "/var/lib/wirecheck-testbed/earlier.tar"


def make(here: State) -> Path:
    """Build the programs and their images, or find them built; returns the archive."""
    build_kube_proxy(KUBE_PROXY, here)
    images = {
        Image(BEFORE["kube-proxy"], ("usr/local/bin/kube-proxy", "net-tools")): (
            here.bin / program_of(KUBE_PROXY)
        ),
        Image(BEFORE["coredns"], ("coredns",), ("/coredns",)): build(_COREDNS, here),
    }
    archive = here.images / "earlier.tar"
    build_further_images(here, images, archive)
    return archive


def bring(archive: Path, names: Sequence[str]) -> None:
    """Give the images to the nodes."""
    for name in names:
        run(["docker", "cp", str(archive), f"{name}:{_IN_THE_NODE}"], timeout=120)
        ctr = ["ctr", "--namespace", "k8s.io", "images", "import", _IN_THE_NODE]
        nodes.output(name, ctr, timeout=300)
        nodes.output(name, ["rm", _IN_THE_NODE])


def take_away(names: Sequence[str]) -> None:
    """Remove the images from the nodes."""
    for name in names:
        ctr = ["ctr", "--namespace", "k8s.io", "images", "rm"]
        nodes.run(name, [*ctr, *BEFORE.values()])
