"""Canal: Calico connects the pods, flannel the nodes.

Source: https://docs.tigera.io/calico/latest/getting-started/kubernetes/flannel, and the charts of
RKE2, where it is the default.
"""

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
from wirecheck.network.plugins.calico import FILTER_CHAINS, NFTABLES_FILTER, RESYNC

PLUGIN = CniPlugin(
    name="Canal",
    recognised_by=Recognition(daemonsets=("canal", "rke2-canal")),
    precedence=75,
    # Its configuration names host-local with the node's range, not Calico's IPAM.
    addresses=AddressSource.NODE_RANGE,
    health="9099/readiness",
    attachment=Attachment.HOST_ROUTE,
    routes=PeerRoutes.EACH_NODE,
    pod_interfaces=("cali",),
    own_devices=("flannel",),
    masquerade_chains=("FLANNEL-", "cali-"),
    filter_chains=FILTER_CHAINS,
    nftables_filter=NFTABLES_FILTER,
    policy_resync=RESYNC,
    kernel_macs=KernelMacs(DeviceKind.VXLAN, fixed_in=(0, 15, 1)),
)
