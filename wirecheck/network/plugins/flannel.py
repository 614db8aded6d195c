"""flannel. Source: https://github.com/flannel-io/flannel, and recordings of real clusters."""

from __future__ import annotations

from wirecheck.network.plugin import (
    AddressSource,
    Attachment,
    CniPlugin,
    DeviceKind,
    KernelMacs,
    PeerRoutes,
    Recognition,
)

ARCHITECTURES = tuple(
    f"kube-flannel-ds-{each}" for each in ("amd64", "arm64", "arm", "ppc64le", "s390x")
)
"""The DaemonSets of versions before 0.13, one for each architecture."""

PLUGIN = CniPlugin(
    name="flannel",
    recognised_by=Recognition(
        # k3s has none: flannel is a part of its one program.
        daemonsets=("kube-flannel-ds", "kube-flannel", *ARCHITECTURES),
        types=("flannel",),
        annotation="flannel.alpha.coreos.com/backend-type",
    ),
    precedence=30,
    addresses=AddressSource.NODE_RANGE,
    attachment=Attachment.BRIDGE,
    routes=PeerRoutes.EACH_NODE,
    own_devices=("flannel",),
    masquerade_chains=("FLANNEL-",),
    # flannel announces the MAC of its VXLAN device; since 0.15.1 it chooses that MAC itself.
    kernel_macs=KernelMacs(DeviceKind.VXLAN, fixed_in=(0, 15, 1)),
    node_files=("/run/flannel/subnet.env",),
    object_names=frozenset({"kube-flannel", "flannel"}),
)

POD_NAMES = ("flannel", "canal")
"""Parts of the names of pods that run flannel, in every distribution."""

CLOUD_BACKENDS = frozenset({"alloc", "aws-vpc", "gce", "ali-vpc", "tencent-vpc"})
"""Backends that program the cloud's routers instead of the nodes."""

IPSEC = "ipsec"
"""The backend that adds XFRM policies, and no routes."""

EXTENSION = "extension"
"""The backend that runs commands of the administrator, such as those of k3s for Tailscale."""

DEVICE_KINDS = {
    "vxlan": "vxlan",
    "wireguard": "wireguard",
    "ipip": "ipip",
    "udp": "tun",
    "host-gw": "",
}
"""The kind of the tunnel device that a backend creates; empty for a backend without one.

Devices of an earlier backend stay on the node until it restarts.
"""


TUNNELS = {
    "wireguard": ("flannel-wg", "flannel-wg-v6"),
    "ipip": ("flannel.ipip",),
    "udp": ("flannel0",),
}
"""The devices of the other backends with a tunnel, by backend. One is enough for both families."""


def vxlan_device(family: int, vni: int) -> str:
    """The name of the VXLAN device of an IP family: `flannel.1`, `flannel-v6.1`."""
    return f"flannel{'-v6' if family == 6 else ''}.{vni}"
