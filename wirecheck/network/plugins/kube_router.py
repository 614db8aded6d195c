"""kube-router. Source: https://github.com/cloudnativelabs/kube-router."""

from __future__ import annotations

from wirecheck.network.plugin import (
    AddressSource,
    Attachment,
    CniPlugin,
    PeerRoutes,
    Recognition,
    ServiceForwarding,
)

PLUGIN = CniPlugin(
    name="kube-router",
    recognised_by=Recognition(daemonsets=("kube-router",), devices=("kube-bridge",)),
    precedence=10,
    addresses=AddressSource.NODE_RANGE,
    health="20244/healthz",
    attachment=Attachment.BRIDGE,
    routes=PeerRoutes.EACH_NODE,
    own_devices=("kube-dummy-if",),
    devices_in_use=("kube-bridge",),
    # Also where it is the firewall beside another plugin, as in k3s.
    filter_chains=tuple((f"KUBE-ROUTER-{each}", each) for each in ("FORWARD", "INPUT", "OUTPUT")),
    # --iptables-sync-period
    policy_resync=300,
    services=ServiceForwarding(device="kube-dummy-if"),
)
