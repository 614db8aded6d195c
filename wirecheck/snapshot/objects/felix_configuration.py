"""The fields of Calico's FelixConfiguration that may enter a snapshot."""

from __future__ import annotations

from wirecheck.snapshot.objects.metadata import ApiStruct, Metadata


class FelixConfigurationSpec(ApiStruct, frozen=True):
    """How often felix writes again what others may have changed: durations such as `90s`."""

    iptables_refresh_interval: str = ""
    nftables_refresh_interval: str = ""
    ipsets_refresh_interval: str = ""
    route_refresh_interval: str = ""


class FelixConfigurationObject(ApiStruct, frozen=True):
    metadata: Metadata
    """`default` for all nodes, `node.NAME` for one."""
    spec: FelixConfigurationSpec = FelixConfigurationSpec()
