"""Types of CNI plugins that no single network owns, and what they are for."""

from __future__ import annotations

META_PLUGINS = frozenset({"multus", "multus-shim", "danm", "genie", "kactus"})
"""CNI plugins that connect nothing by themselves, but call other configurations."""

BRIDGE = "bridge"
"""The plugin of the examples that packages of container runtimes and podman install."""

LOOPBACK = "loopback"
"""The plugin that sets up lo. Runtimes call it themselves; some packages ship a file for it."""

CALLS_IPAM = frozenset(
    {
        "aws-cni",
        "bridge",
        "calico",
        "cilium-cni",
        "dummy",
        "host-device",
        "ipvlan",
        "macvlan",
        "ptp",
        "sriov",
        "tap",
        "vlan",
    }
)
"""Plugins that run the program that their `ipam` names. Those with a daemon may only pass it on:
azure-vnet takes azure-cns for an address of the daemon, Antrea's daemon has its own host-local."""

NO_PROGRAMS = frozenset({"azure-cns"})
"""Types of IPAM that are not programs."""
