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

PLACES = ("container", "netdev", "host", "overlay")

PLUGIN = CniPlugin(
    name="Cilium",
    # `anetd` is the agent of GKE Dataplane V2, whose pods' devices are named `gke…`.
    recognised_by=Recognition(
        daemonsets=("cilium", "anetd"), types=("cilium-cni",), devices=("cilium_host",)
    ),
    precedence=80,
    addresses=AddressSource.OWN_POOLS,
    health="9879/healthz",
    attachment=Attachment.EBPF,
    pod_interfaces=("lxc",),
    own_devices=("cilium_",),
    # Its agent deletes the tunnel devices that its configuration does not need.
    devices_in_use=("cilium_host", "cilium_net", "cilium_vxlan", "cilium_geneve", "cilium_wg0"),
    # Versions before 1.12 call them bpf_lxc.o:[from-container], from_container …
    programs=(
        *("cil_", "bpf_lxc", "bpf_host", "bpf_netdev", "bpf_overlay", "bpf_xdp", "handle_xgress"),
        *(f"{way}{gap}{place}" for way in ("from", "to") for gap in "-_" for place in PLACES),
    ),
    pod_programs=("cil_from_container", "bpf_lxc", "from-container", "from_container"),
    redirected_devices=("lxc", "cilium_"),
    services=ServiceForwarding(
        # `strict` is what versions before 1.14 call it.
        setting=ConfigMapSetting(
            "cilium-config",
            "kube-proxy-replacement",
            frozenset({"true", "strict"}),
            further=(
                *("enable-service-topology", "bpf-lb-sock-hostns-only"),
                *("policy-audit-mode", "enable-policy", "allow-localhost"),
            ),
        ),
        device="cilium_host",
    ),
    object_names=frozenset({"cilium-config"}),
    own_policies=True,
)
