import ipaddress

import pytest

from testbed.commands import TestbedError
from testbed.layout import POD_RANGE, SUBNETS, Layout, choose_subnet


def ranges(*texts: str) -> list[ipaddress.IPv4Network]:
    return [ipaddress.IPv4Network(text) for text in texts]


def test_the_first_free_subnet_is_taken() -> None:
    assert choose_subnet(ranges("172.17.0.0/16", "192.0.2.0/24")) == SUBNETS[0]


def test_a_subnet_is_not_taken_where_a_part_of_it_is_in_use() -> None:
    assert choose_subnet(ranges("172.31.250.128/25")) == SUBNETS[1]
    assert choose_subnet(ranges("172.16.0.0/12")) == SUBNETS[2]


def test_no_subnet_left_is_an_error_that_names_them() -> None:
    with pytest.raises(TestbedError, match=SUBNETS[-1]):
        choose_subnet(ranges(*SUBNETS))


def test_pods_addresses_that_are_in_use_are_an_error() -> None:
    with pytest.raises(TestbedError, match=r"range for pods.*10\.244\.7\.0/24"):
        choose_subnet(ranges("10.244.7.0/24"))
    assert ipaddress.IPv4Network(POD_RANGE).supernet_of(ipaddress.IPv4Network("10.244.7.0/24"))


@pytest.mark.parametrize("subnet", SUBNETS)
def test_everybody_has_an_address_of_their_own(subnet: str) -> None:
    layout = Layout(subnet)
    addresses = [layout.gateway, layout.dns, *(node.address for node in layout.nodes(vm=True))]
    assert len(set(addresses)) == 6
    assert all(ipaddress.ip_address(a) in ipaddress.ip_network(subnet) for a in addresses)


def test_nodes_are_in_more_than_one_zone() -> None:
    assert {node.zone for node in Layout(SUBNETS[0]).containers} == {"a", "b"}
