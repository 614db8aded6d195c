"""OpenShift SDN. Source: https://github.com/openshift/sdn."""

from __future__ import annotations

from wirecheck.network.open_vswitch import OVS_TUNNELS
from wirecheck.network.plugin import AddressSource, Attachment, CniPlugin, Recognition

PLUGIN = CniPlugin(
    name="OpenShift SDN",
    recognised_by=Recognition(daemonsets=("sdn",), types=("openshift-sdn",)),
    precedence=42,
    # Each node has a HostSubnet of its own, which spec.podCIDRs does not show.
    addresses=AddressSource.OWN_POOLS,
    attachment=Attachment.OPEN_VSWITCH,
    own_devices=("vxlan_sys_", "vlinuxbr", "vovsbr"),
    devices_in_use=OVS_TUNNELS,
)
