"""Calico. Source: its documentation and felix's default settings."""

from __future__ import annotations

from wirecheck.network.plugin import (
    AddressSource,
    Attachment,
    CniPlugin,
    Recognition,
    ServiceForwarding,
)

IPIP_DEVICE = "tunl0"
"""The kernel creates it in every netns as soon as the module ipip is loaded."""
VXLAN_DEVICES = {4: "vxlan.calico", 6: "vxlan-v6.calico"}
"""Its tunnel devices by family."""

FILTER_CHAINS = (("cali-FORWARD", "FORWARD"), ("cali-INPUT", "INPUT"), ("cali-OUTPUT", "OUTPUT"))
"""The chains of felix, and the built-in chains of table filter that call them."""
NFTABLES_FILTER = ("calico", "filter-")
"""With its nftables dataplane: `filter-cali-FORWARD` in table calico, called by filter-FORWARD."""
RESYNC = 180
"""Seconds: felix's default for iptablesRefreshInterval; it was 90 before version 3.28."""

FORWARDING_PROGRAMS = ("cali_tc_", "calico_tc_")
"""The names of the programs of its eBPF dataplane begin so."""

PLUGIN = CniPlugin(
    name="Calico",
    recognised_by=Recognition(
        daemonsets=("calico-node",), types=("calico",), devices=("vxlan.calico",)
    ),
    # Beside a cloud's plugin it enforces policies only, and does not connect pods.
    precedence=55,
    addresses=AddressSource.OWN_POOLS,
    health="9099/readiness",
    attachment=Attachment.HOST_ROUTE,
    # With the eBPF dataplane.
    programs=("cali_", "calico_", "conntrack_cleanup"),
    pod_programs=FORWARDING_PROGRAMS,
    pod_interfaces=("cali",),
    # The eBPF dataplane sends the node's connections to Services through a pair of its own.
    own_devices=("vxlan.calico", "vxlan-v6.calico", "bpfin.cali", "bpfout.cali"),
    # felix removes those of WireGuard if encryption is switched off.
    devices_in_use=(
        *(*VXLAN_DEVICES.values(), "bpfin.cali", "bpfout.cali"),
        *("wireguard.cali", "wg-v6.cali"),
    ),
    masquerade_chains=("cali-",),
    filter_chains=FILTER_CHAINS,
    nftables_filter=NFTABLES_FILTER,
    policy_resync=RESYNC,
    services=ServiceForwarding(device="bpfout.cali", programs=FORWARDING_PROGRAMS, mode="eBPF"),
    object_names=frozenset({"calico-system"}),
    own_policies=True,
)
