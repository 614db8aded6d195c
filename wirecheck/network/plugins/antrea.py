"""Antrea. Source: https://github.com/antrea-io/antrea, docs/design/architecture.md."""

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
    name="Antrea",
    recognised_by=Recognition(
        daemonsets=("antrea-agent",), types=("antrea",), devices=("antrea-gw0",)
    ),
    precedence=50,
    addresses=AddressSource.NODE_RANGE,
    attachment=Attachment.OPEN_VSWITCH,
    own_devices=("antrea-",),
    devices_in_use=("antrea-gw0", "antrea-wg0", *OVS_TUNNELS),
    services=ServiceForwarding(device="antrea-gw0"),
    own_policies=True,
)
