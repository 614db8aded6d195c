"""Which rule translates which host port."""

from __future__ import annotations

import pytest

from wirecheck.api_index.host_ports import HostPort
from wirecheck.node.host_port_rules import PortMapping

PORT = HostPort("tcp", "", 8088, "10.244.1.3", 80)
AT_ONE = HostPort("tcp", "172.31.0.10", 8088, "10.244.1.3", 80)
V6 = HostPort("tcp", "", 8088, "fd00::3", 80)


def mapping(
    protocol: str = "tcp", address: str = "", port: int = 8088, target: str = "10.244.1.3:80"
) -> PortMapping:
    return PortMapping(protocol, address, port, target, "-A CNI-DN-1", "CNI-HOSTPORT-DNAT")


@pytest.mark.parametrize("port", [PORT, AT_ONE])
def test_a_rule_for_all_addresses_is_for_each(port: HostPort):
    assert mapping().matches(port)


@pytest.mark.parametrize(
    ("address", "port", "is_matched"),
    [
        ("172.31.0.10", AT_ONE, True),
        ("172.31.0.11", AT_ONE, False),
        ("172.31.0.10", PORT, False),
    ],
)
def test_a_rule_for_one_address_is_for_that_one_alone(
    address: str, port: HostPort, is_matched: bool
):
    assert mapping(address=address).matches(port) is is_matched


@pytest.mark.parametrize(
    ("found", "port"),
    [
        (mapping(protocol="udp"), PORT),
        (mapping(port=8089), PORT),
        (mapping(target="[fd00::3]:80"), PORT),
        (mapping(), V6),
    ],
)
def test_protocol_port_and_family_must_be_the_same(found: PortMapping, port: HostPort):
    assert not found.matches(port)
