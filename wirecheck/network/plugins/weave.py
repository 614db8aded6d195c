"""Weave Net. Source: https://github.com/weaveworks/weave."""

from __future__ import annotations

from wirecheck.network.plugin import AddressSource, Attachment, CniPlugin, Recognition

PLUGIN = CniPlugin(
    name="Weave Net",
    recognised_by=Recognition(
        daemonsets=("weave-net",), types=("weave-net",), devices=("vethwe-bridge",)
    ),
    precedence=35,
    addresses=AddressSource.OWN_POOLS,
    # All pods of the cluster are on one bridge that spans the nodes.
    attachment=Attachment.BRIDGE,
    pod_interfaces=("vethwepl",),
    # Without the fast datapath the pair of vethwe-bridge ends at vethwe-pcap, on no bridge.
    own_devices=("vethwe-bridge", "vethwe-datapath", "vethwe-pcap"),
    masquerade_chains=("WEAVE",),
)
