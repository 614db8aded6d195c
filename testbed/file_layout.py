"""Where a node keeps Kubernetes' files, and which of its parts share a process."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.commands import TestbedError
from testbed.components import STAMPED, Component
from testbed.layout import POD_RANGE

_K3S = "/var/lib/rancher/k3s"
_USUAL_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

CREDENTIALS = f"{_K3S}/agent/kubeproxy.kubeconfig"
"""Those of a kube-proxy that is a part of k3s."""


@dataclass(frozen=True, slots=True)
class FileLayout:
    """One of the layouts that the nodes of a cluster can have."""

    name: str
    socket: str
    """That of containerd."""
    cni_folder: str
    """Where CNI configurations are."""
    agent: Component | None = None
    """The program that is kubelet and kube-proxy at once; None if each has its own process."""
    agent_path: str = ""
    """Where a node has that program."""
    path: str = _USUAL_PATH
    """Where a command on a node is looked for."""

    @property
    def components(self) -> tuple[Component, ...]:
        """What is built beside the components of every cluster."""
        return (self.agent,) if self.agent else ()


KUBEADM = FileLayout("kubeadm", "/run/containerd/containerd.sock", "/etc/cni/net.d")
K3S = FileLayout(
    "k3s",
    "/run/k3s/containerd/containerd.sock",
    f"{_K3S}/agent/etc/cni/net.d",
    agent=Component("k3s", "k3s", ".", f"-s -w {STAMPED}", go_mod_of="kubernetes"),
    agent_path=f"{_K3S}/data/testbed/bin/k3s",
    path=f"{_USUAL_PATH}:{_K3S}/data/current/bin:{_K3S}/data/current/bin/aux",
)
FILE_LAYOUTS = (KUBEADM, K3S)


def file_layout_named(name: str) -> FileLayout:
    """The layout of this name; TestbedError where there is none."""
    for each in FILE_LAYOUTS:
        if each.name == name:
            return each
    known = ", ".join(each.name for each in FILE_LAYOUTS)
    raise TestbedError(f"unknown layout {name!r} of a node's files: choose one of {known}")


def kube_proxy_arguments(proxy_mode: str) -> str:
    """The options of a kube-proxy inside k3s, one on a line: those that k3s gives it."""
    return "".join(
        f"{each}\n"
        for each in (
            f"kubeconfig={CREDENTIALS}",
            f"cluster-cidr={POD_RANGE}",
            f"proxy-mode={proxy_mode}",
            "healthz-bind-address=127.0.0.1",
            # The table of connections is one of the whole machine, and not a node's to change.
            "conntrack-max-per-core=0",
            "conntrack-tcp-timeout-close-wait=0s",
            "conntrack-tcp-timeout-established=0s",
            # Without CAP_SYS_RESOURCE nobody may lower it.
            "oom-score-adj=0",
        )
    )
