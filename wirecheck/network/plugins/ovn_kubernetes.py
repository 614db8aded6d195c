"""OVN-Kubernetes. Source: https://github.com/ovn-org/ovn-kubernetes."""

from __future__ import annotations

from wirecheck.network.open_vswitch import OVS_TUNNELS
from wirecheck.network.plugin import (
    AddressSource,
    Attachment,
    CniPlugin,
    Recognition,
    ServiceForwarding,
)

PLUGIN = CniPlugin(
    name="OVN-Kubernetes",
    recognised_by=Recognition(
        daemonsets=("ovnkube-node", "ovnkube-node-single-node-zone"),
        types=("ovn-k8s-cni-overlay",),
        devices=("ovn-k8s-mp",),
    ),
    precedence=40,
    addresses=AddressSource.OWN_POOLS,
    attachment=Attachment.OPEN_VSWITCH,
    own_devices=("ovn-k8s-",),
    devices_in_use=("ovn-k8s-mp0", *OVS_TUNNELS),
    # Services are load balancers of OVN.
    services=ServiceForwarding(always=True, device="ovn-k8s-mp0"),
    own_policies=True,
)
