"""kindnet, the plugin of kind: `ptp` for the pods, routes between the nodes."""

from __future__ import annotations

from wirecheck.network.plugin import (
    AddressSource,
    Attachment,
    CniPlugin,
    PeerRoutes,
    Recognition,
)

PLUGIN = CniPlugin(
    name="kindnet",
    recognised_by=Recognition(daemonsets=("kindnet",)),
    precedence=20,
    addresses=AddressSource.NODE_RANGE,
    attachment=Attachment.HOST_ROUTE,
    routes=PeerRoutes.EACH_NODE,
)
