"""Which servers in a resolv.conf are DNS servers of the cluster."""

from __future__ import annotations

from typing import Any

import pytest

from wirecheck.addresses import IPAddress, address
from wirecheck.node.dns_servers import DnsServers, Standing

RIGHT, UNKNOWN, WRONG = Standing.RIGHT, Standing.UNKNOWN, Standing.WRONG
SERVICE, OTHER, CACHE, LINK_LOCAL = "10.96.0.10", "10.96.0.53", "169.254.20.10", "169.254.169.254"
SERVICE6, LINK_LOCAL6 = "fd00::a", "fe80::53"


def known(*handed_out: str, **fields: str) -> DnsServers:
    """The servers of a node; each field has one address."""
    sets: dict[str, Any] = {name: frozenset({address(each)}) for name, each in fields.items()}
    services = frozenset(map(address, (SERVICE, SERVICE6)))
    return DnsServers(services, handed_out=handed_out, **sets)


@pytest.mark.parametrize(
    ("servers", "text", "standing"),
    [
        (known(), SERVICE, RIGHT),
        (known(), SERVICE6, RIGHT),
        (known(), CACHE, RIGHT),
        (known(caches="10.0.0.53"), "10.0.0.53", RIGHT),
        (known(answering="192.0.2.53"), "192.0.2.53", RIGHT),
        (known(), "192.0.2.53", WRONG),
        (known("192.0.2.53"), "192.0.2.53", WRONG),
        (known(), "not an address", WRONG),
        (known(others=OTHER), OTHER, WRONG),
        (known(OTHER, others=OTHER), OTHER, RIGHT),
        (known(SERVICE, others=OTHER), OTHER, WRONG),
        (known(bound="192.0.2.1"), "192.0.2.1", WRONG),
        (known("192.0.2.1", bound="192.0.2.1"), "192.0.2.1", RIGHT),
        (known(bound=LINK_LOCAL), LINK_LOCAL, RIGHT),
        (known(SERVICE, bound=LINK_LOCAL), LINK_LOCAL, RIGHT),
        (known(), LINK_LOCAL, UNKNOWN),
        (known(LINK_LOCAL), LINK_LOCAL, UNKNOWN),
        (known(SERVICE), LINK_LOCAL, WRONG),
        (known(), LINK_LOCAL6, UNKNOWN),
        (known(), f"{LINK_LOCAL6}%eth0", UNKNOWN),
        (known(SERVICE), f"{LINK_LOCAL6}%eth0", WRONG),
    ],
)
def test_an_address_counts_by_who_serves_it(
    servers: DnsServers, text: str, standing: Standing
) -> None:
    assert servers.standing(text) is standing


@pytest.mark.parametrize(
    ("servers", "are_bypassed"),
    [
        (known(), False),
        (known("damaged"), False),
        (known(LINK_LOCAL), True),
        (known(LINK_LOCAL, "damaged"), True),
        (known(LINK_LOCAL, SERVICE), False),
        (known(OTHER, others=OTHER), False),
        (known(OTHER), True),
    ],
)
def test_services_are_bypassed_if_the_kubelet_hands_out_other_servers_only(
    servers: DnsServers, are_bypassed: bool
) -> None:
    assert servers.bypass_services is are_bypassed


def test_what_is_handed_out_and_no_address_is_left_out() -> None:
    found: frozenset[IPAddress] = known(SERVICE, "damaged", SERVICE6).handed_out_addresses

    assert found == frozenset(map(address, (SERVICE, SERVICE6)))
