"""Cilium. Source: its documentation and the default names of its devices."""

from __future__ import annotations

from wirecheck.network.plugin import (
    AddressSource,
    Attachment,
    CniPlugin,
    ConfigMapSetting,
    Recognition,
    ServiceForwarding,
)

PLUGIN = CniPlugin(
    name="Cilium",
    # `anetd` is the agent of GKE Dataplane V2, whose pods' devices are named `gke…`.
    recognised_by=Recognition(
        daemonsets=("cilium", "anetd"), types=("cilium-cni",), devices=("cilium_host",)
    ),
    precedence=80,
    addresses=AddressSource.OWN_POOLS,
    attachment=Attachment.EBPF,
    pod_interfaces=("lxc",),
    own_devices=("cilium_",),
    redirected_devices=("lxc", "cilium_"),
    services=ServiceForwarding(
        # `strict` is what versions before 1.14 call it.
        setting=ConfigMapSetting(
            "cilium-config", "kube-proxy-replacement", frozenset({"true", "strict"})
        ),
        device="cilium_host",
    ),
    object_names=frozenset({"cilium-config"}),
)
