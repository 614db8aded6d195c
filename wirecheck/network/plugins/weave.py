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
    own_devices=("vethwe-bridge", "vethwe-datapath"),
    masquerade_chains=("WEAVE",),
)
