"""GKE without Dataplane V2. It has no DaemonSet by which it could be recognised."""

from __future__ import annotations

from wirecheck.network.plugin import AddressSource, Attachment, CniPlugin

PLUGIN = CniPlugin(
    name="GKE",
    addresses=AddressSource.NODE_RANGE,
    attachment=Attachment.HOST_ROUTE,
    pod_interfaces=("gke",),
)
