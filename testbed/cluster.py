"""Kubernetes itself: control plane, joins, add-ons, and kubectl."""

from __future__ import annotations

import string
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from testbed import nodes
from testbed.commands import run
from testbed.file_layout import CREDENTIALS, KUBEADM, FileLayout
from testbed.kube_proxy import Document, in_ipvs_mode, keep_off_ipvs_nodes
from testbed.kubeadm import AUDIT_POLICY, audit_policy, init_configuration, join_configuration
from testbed.layout import CONTROL_PLANE, POD_RANGE_V6, Layout, NodeSpec
from testbed.networks.pod_network import PodNetwork, manifest_paths
from testbed.state import State, state, write_atomically

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


def node_names() -> list[str]:
    """The names of the nodes that the API has."""
    return kubectl("get", "nodes", "-o", "jsonpath={.items[*].metadata.name}").split()


def apply(documents: Sequence[Document] | str) -> None:
    """Make the cluster have these objects."""
    text = documents if isinstance(documents, str) else yaml.safe_dump_all(documents)
    # Conflicts with an earlier `up` are ours to win.
    kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text, timeout=120)


def start_control_plane(
    here: State, layout: Layout, token: str, proxy_mode: str, file_layout: FileLayout = KUBEADM
) -> None:
    """Run `kubeadm init`, and leave an administrator's kubeconfig in the state folder."""
    text = init_configuration(layout, token, proxy_mode, file_layout)
    _wait_for_images(CONTROL_PLANE)
    skipped = "--skip-phases=preflight,addon"
    nodes.output(CONTROL_PLANE, ["mkdir", "-p", "/etc/kubernetes"])
    nodes.output(CONTROL_PLANE, ["tee", AUDIT_POLICY], stdin=audit_policy())
    _kubeadm(CONTROL_PLANE, "init", text, skipped)
    config = nodes.output(CONTROL_PLANE, ["cat", "/etc/kubernetes/admin.conf"])
    write_atomically(here.kubeconfig, config, mode=0o600)


def join(layout: Layout, node: NodeSpec, token: str, file_layout: FileLayout = KUBEADM) -> None:
    """Make a node part of the cluster."""
    _wait_for_images(node.name)
    text = join_configuration(layout, node, token, file_layout)
    _kubeadm(node.name, "join", text, "--skip-phases=preflight")


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


def add_pod_network(layout: Layout, network: PodNetwork, file_layout: FileLayout = KUBEADM) -> None:
    """Start the pod network on every node."""
    folders = [state().root / folder for folder in network.definitions]
    if files := [file for folder in folders for file in sorted(folder.glob("*.yaml"))]:
        apply("\n---\n".join(file.read_text() for file in files))
    for file in manifest_paths(network.manifests):
        apply(manifest(file, layout, network, file_layout))


def add_network_objects(layout: Layout, network: PodNetwork) -> None:
    """Add what belongs to the network and names namespaces of the workloads."""
    for file in manifest_paths(network.after_workloads):
        apply(manifest(file, layout, network))


def manifest(
    file: Path, layout: Layout, network: PodNetwork, file_layout: FileLayout = KUBEADM
) -> str:
    """A manifest of a network with the values of this cluster filled in."""
    # As flannel's configuration has it, which knows one family otherwise.
    second = f'"EnableIPv6": true, "IPv6Network": "{POD_RANGE_V6}", ' if layout.dual_stack else ""
    values = {
        "api_host": layout.control_plane.address,
        "pod_ranges": layout.pod_ranges,
        "service_ranges": layout.service_ranges,
        "ipv6": str(layout.dual_stack).lower(),
        "second_family": second,
        "node_range": layout.subnet,
        "cni_folder": file_layout.cni_folder,
        "excluded_range": f"{layout.at(240)}/28",
    }
    return string.Template(file.read_text()).substitute(values | network.values)


def add_kube_proxy() -> None:
    """Start kube-proxy as kubeadm has it."""
    apply(keep_off_ipvs_nodes(_addon("kube-proxy")))


def admit_kube_proxies(names: Iterable[str]) -> None:
    """Give the kube-proxies inside k3s their credentials: they start as soon as they have them."""
    made = ["kubeadm", "kubeconfig", "user", "--client-name", "system:kube-proxy"]
    text = nodes.output(CONTROL_PLANE, [*made, "--config", _CONFIGURATION])
    for name in names:
        nodes.output(name, ["sh", "-c", f"umask 077; cat >{CREDENTIALS}"], stdin=text)


def add_ipvs_kube_proxy() -> None:
    """Start a second kube-proxy on the nodes that ask for IPVS."""
    apply(in_ipvs_mode(_addon("kube-proxy")))


def add_dns() -> None:
    """Start CoreDNS as kubeadm has it, but never two replicas on one node."""
    apply([_spread(document) for document in _addon("coredns")])


def _addon(name: str) -> list[Document]:
    printed = nodes.output(
        CONTROL_PLANE,
        [
            *("kubeadm", "init", "phase", "addon", name),
            "--config",
            _CONFIGURATION,
            "--print-manifest",
        ],
    )
    return [document for document in yaml.safe_load_all(printed) if document]


def _spread(document: Document) -> Document:
    if document["kind"] != "Deployment":
        return document
    document["spec"]["replicas"] = 2
    term = {
        "labelSelector": {"matchLabels": {"k8s-app": "kube-dns"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    document["spec"]["template"]["spec"]["affinity"] = {
        "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
    }
    return document


def admit(token: str) -> None:
    """Let a node join with this token."""
    nodes.output(CONTROL_PLANE, ["kubeadm", "token", "create", token, "--ttl", "1h"])


def forget_node(name: str) -> None:
    """Remove a node from the API, which need not know it."""
    kubectl("delete", "node", name, "--ignore-not-found", timeout=120)
