"""Open vSwitch's own devices for tunnels, which several plugins have."""

from __future__ import annotations

OVS_TUNNELS = ("genev_sys_6081", "vxlan_sys_4789")
"""The kernel's devices for ports of type geneve and vxlan, at the default UDP ports. They exist as
long as the switch has such a port, and packets through them are dropped while they are down."""
