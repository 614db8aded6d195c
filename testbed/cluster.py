"""Kubernetes itself: control plane, joins, add-ons, and kubectl."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml

from testbed import nodes
from testbed.commands import run
from testbed.images import COREDNS_TAG
from testbed.kubeadm import init_configuration, join_configuration
from testbed.layout import CONTROL_PLANE, Layout, NodeSpec
from testbed.state import SOURCE, State, state, write_atomically

_CONFIGURATION = "/etc/kubernetes/testbed.yaml"
_START_LIMIT = 300.0


def kubectl(*args: str, stdin: str | None = None, timeout: float = 60) -> str:
    """The output of kubectl on the test cluster; TestbedError if it fails."""
    here = state()
    return run(
        [str(here.bin / "kubectl"), "--kubeconfig", str(here.kubeconfig), *args],
        stdin=stdin,
        timeout=timeout,
    )


def apply(documents: Sequence[dict[str, Any]] | str) -> None:
    """Make the cluster have these objects."""
    text = documents if isinstance(documents, str) else yaml.safe_dump_all(documents)
    # Conflicts with an earlier `up` are ours to win.
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text, timeout=120)


def start_control_plane(here: State, layout: Layout, token: str, proxy_mode: str) -> None:
    """Run `kubeadm init`, and leave an administrator's kubeconfig in the state folder."""
    text = init_configuration(layout, token, proxy_mode)
    _wait_for_images(CONTROL_PLANE)
    # The cluster's DNS is added once there are nodes to spread it over.
    skipped = "--skip-phases=preflight,addon/coredns"
    _kubeadm(CONTROL_PLANE, "init", text, skipped)
    config = nodes.output(CONTROL_PLANE, ["cat", "/etc/kubernetes/admin.conf"])
    write_atomically(here.kubeconfig, config, mode=0o600)


def join(layout: Layout, node: NodeSpec, token: str) -> None:
    """Make a node part of the cluster."""
    _wait_for_images(node.name)
    _kubeadm(
        node.name, "join", join_configuration(layout, node, token), "--skip-phases=preflight"
    )


def _kubeadm(node: str, verb: str, configuration: str, *options: str) -> None:
    nodes.output(node, ["mkdir", "-p", "/etc/kubernetes"])
    nodes.output(node, ["tee", _CONFIGURATION], stdin=configuration)
    nodes.output(
        node, ["kubeadm", verb, "--config", _CONFIGURATION, *options], timeout=_START_LIMIT
    )


_WAIT_FOR_IMAGES = """
until [ -f /var/lib/wirecheck-testbed/imported ]; do
    sleep 0.2
done
"""


def _wait_for_images(node: str) -> None:
    nodes.output(node, ["sh", "-c", _WAIT_FOR_IMAGES], timeout=_START_LIMIT)


def add_pod_network() -> None:
    """Start flannel on every node."""
    apply((SOURCE / "manifests/flannel.yaml").read_text())


def add_dns() -> None:
    """Start CoreDNS as kubeadm has it, but never two replicas on one node."""
    printed = nodes.output(
        CONTROL_PLANE,
        ["kubeadm", "init", "phase", "addon", "coredns", "--config", _CONFIGURATION,
         "--print-manifest"],
    )
    apply([_spread(document) for document in yaml.safe_load_all(printed) if document])


def _spread(document: dict[str, Any]) -> dict[str, Any]:
    if document["kind"] != "Deployment":
        return document
    document["spec"]["replicas"] = 2
    pod = document["spec"]["template"]["spec"]
    term = {
        "labelSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    pod["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    assert pod["containers"][0]["image"].endswith(COREDNS_TAG)
    return document
