"""Kube-OVN. Source: https://github.com/kubeovn/kube-ovn."""

from __future__ import annotations

from wirecheck.network.open_vswitch import OVS_TUNNELS
from wirecheck.network.plugin import AddressSource, Attachment, CniPlugin, Recognition

PLUGIN = CniPlugin(
    name="Kube-OVN",
    recognised_by=Recognition(daemonsets=("kube-ovn-cni",), types=("kube-ovn",), devices=("ovn0",)),
    precedence=45,
    # Subnets span nodes, whatever spec.podCIDRs says.
    addresses=AddressSource.OWN_POOLS,
    attachment=Attachment.OPEN_VSWITCH,
    own_devices=("ovn0",),
    devices_in_use=("ovn0", *OVS_TUNNELS),
)
