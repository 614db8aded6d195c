"""Azure CNI. Source: https://github.com/Azure/azure-container-networking."""

from __future__ import annotations

from wirecheck.network.plugin import AddressSource, Attachment, CniPlugin, Recognition

PLUGIN = CniPlugin(
    name="Azure CNI",
    recognised_by=Recognition(
        daemonsets=("azure-cns", "azure-cni-networkmonitor"), types=("azure-vnet",)
    ),
    precedence=60,
    addresses=AddressSource.NODE_NETWORK,
    attachment=Attachment.HOST_ROUTE,
    pod_interfaces=("azv",),
)
