"""GKE without Dataplane V2: `ptp` pairs. The API shows no DaemonSet of its own for it."""

from __future__ import annotations

from wirecheck.network.plugin import AddressSource, Attachment, CniPlugin

PLUGIN = CniPlugin(
    name="GKE",
    addresses=AddressSource.NODE_RANGE,
    attachment=Attachment.HOST_ROUTE,
    pod_interfaces=("gke",),
)
