"""What Calico's FelixConfigurations switch off, by name: `default`, or `node.NAME` for one node."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.objects.felix_configuration import FelixConfigurationObject

ZERO = re.compile(r"0|(?:0+(?:\.0*)?(?:h|m|s|ms|us|ns))+")
"""A duration of Go that is zero: felix then does not refresh at all."""
REFRESHED = {
    "iptables_refresh_interval": ("iptablesRefreshInterval", "iptables rules"),
    "nftables_refresh_interval": ("nftablesRefreshInterval", "nftables rules"),
    "ipsets_refresh_interval": ("ipsetsRefreshInterval", "ipsets"),
    "route_refresh_interval": ("routeRefreshInterval", "routes"),
}
"""By field: its name in the API, and what felix compares with its own state that often."""


@dataclass(frozen=True)
class NoRefresh:
    """A setting by which felix repairs nothing of one kind."""

    ref: Ref
    setting: str
    what: str


def refreshes_off(configurations: Iterable[FelixConfigurationObject]) -> Iterator[NoRefresh]:
    """The intervals that are set to zero."""
    for each in configurations:
        for field, (setting, what) in REFRESHED.items():
            if ZERO.fullmatch(getattr(each.spec, field)):
                ref = Ref("FelixConfiguration", each.metadata.name, uid=each.metadata.uid)
                yield NoRefresh(ref, setting, what)
