"""Sets of clients: which of them match a condition, and where a kind has to be split."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dataplane.small import clients
from wirecheck.dataplane.clients import Clients
from wirecheck.dataplane.rules.sources import NeedsSplitError, Regions
from wirecheck.dataplane.rules.steps import IN, SourceTest
from wirecheck.dataplane.table import Client

REGIONS = Regions.of(4, clients())


def network(value: str, *, negated: bool = False) -> SourceTest:
    return SourceTest("network", value, negated)


def device(value: str, *, negated: bool = False) -> SourceTest:
    return SourceTest(IN, value, negated)


def kinds(regions: Regions, *tests: SourceTest) -> set[Client]:
    """The kinds of clients that match all tests."""
    mask = regions.matching(tests)
    return {client for client, of in regions.by_client.items() if of & mask}


PODS, REMOTE = network("10.244.1.0/24"), network("10.244.2.0/23")


def test_a_range_matches_the_kinds_inside_it():
    assert kinds(REGIONS) == set(Client)
    assert kinds(REGIONS, PODS) == {Client.POD}
    assert kinds(REGIONS, network("10.244.0.0/16")) == {Client.POD, Client.REMOTE_POD}
    assert kinds(REGIONS, network("10.244.1.0/24,172.31.0.10/32")) == {Client.POD, Client.NODE}
    assert kinds(REGIONS, network("10.244.1.0/24", negated=True)) == set(Client) - {Client.POD}
    assert kinds(REGIONS, network("127.9.0.0/16")) == set()
    assert kinds(REGIONS, PODS, network("10.244.1.0/24", negated=True)) == set()
    assert kinds(REGIONS, network("10.244.0.0/16"), PODS) == {Client.POD}


def test_a_range_that_cuts_a_kind_needs_a_split_after_which_it_has_an_answer():
    one = network("10.244.1.2/32")
    assert not REGIONS.knows((one,))
    with pytest.raises(NeedsSplitError) as raised:
        REGIONS.matching((PODS, one))
    assert raised.value.test == one

    finer = REGIONS.split(one)

    assert finer.knows((one,))
    assert len(finer.regions) == len(REGIONS.regions) + 1
    assert kinds(finer, one) == {Client.POD}
    assert kinds(finer, network("10.244.1.2/32", negated=True)) == set(Client)
    assert kinds(finer, PODS) == {Client.POD}
    assert REGIONS.split(one) is finer


def test_addresses_of_the_node_are_the_nodes():
    local, others = (SourceTest("local", "", each) for each in (False, True))

    assert kinds(REGIONS, local) == {Client.NODE}
    assert kinds(REGIONS, others) == set(Client) - {Client.NODE}


def test_an_unrecognised_condition_divides_every_kind():
    unknown = SourceTest("other", "-m geoip", negated=False)
    assert not REGIONS.knows((unknown,))

    finer = REGIONS.split(unknown)

    assert len(finer.regions) == 2 * len(REGIONS.regions)
    assert kinds(finer, unknown) == set(Client)
    mask = finer.matching((unknown,))
    negated = finer.matching((SourceTest("other", "-m geoip", negated=True),))
    assert (mask & negated, mask | negated) == (0, finer.all)
    assert finer.split(unknown) is not None
    assert len(finer.split(unknown).regions) == len(finer.regions)


def test_the_interface_of_kube_proxys_configuration_is_that_of_pods():
    for own in ("cni0", "veth"):
        regions = Regions.of(4, replace(clients(), local_interface=own))
        assert kinds(regions, device(own)) == {Client.POD}
        assert kinds(regions, device(f"{own}+")) == {Client.POD}
        assert kinds(regions, device(own, negated=True)) == set(Client) - {Client.POD}
        assert not regions.knows((device("eth0"),))


def test_pods_on_a_bridge_come_in_by_nothing_else_and_nobody_else_by_it():
    devices = frozenset({"cni0", "eth0", "veth1"})
    regions = Regions.of(4, replace(clients(), bridge="cni0", interfaces=devices))
    assert kinds(regions, device("cni0")) == {Client.POD}
    assert kinds(regions, device("cni0", negated=True)) == set(Client) - {Client.POD}
    assert not regions.knows((device("eth0"),))

    finer = regions.split(device("eth0"))
    assert kinds(finer, device("eth0")) == {Client.REMOTE_POD, Client.OUTSIDE}
    others = finer.matching((device("eth0", negated=True),))
    assert finer.by_client[Client.POD] & ~others == 0


def test_no_client_comes_in_by_loopback_or_by_a_device_that_the_node_lacks():
    here = Regions.of(4, replace(clients(), interfaces=frozenset({"eth0", "cali1"})))

    assert kinds(REGIONS, device("lo")) == set()
    assert kinds(here, device("docker0")) == set()
    assert kinds(here, device("docker+", negated=True)) == set(Client)
    assert not here.knows((device("cali+"),))
    assert not REGIONS.knows((device("docker0"),))


def with_devices(*devices: str) -> Clients:
    return replace(clients(), interfaces=frozenset(devices))


def test_packets_come_in_by_one_device_and_those_of_the_node_by_none():
    regions = Regions.of(4, with_devices("eth0", "eth1")).split(device("eth0"), device("eth1"))

    without_node = set(Client) - {Client.NODE}
    assert kinds(regions, device("eth0")) == without_node
    assert kinds(regions, device("eth0"), device("eth1")) == set()
    assert kinds(regions, device("eth0", negated=True)) == set(Client)
    # Each kind but the node: by neither, by the first, by the second.
    assert len(regions.regions) == 1 + 3 * 3


def test_where_devices_are_not_known_a_packet_may_match_all_conditions_on_them():
    regions = REGIONS.split(device("eth0"), device("eth1"))

    assert kinds(regions, device("eth0"), device("eth1")) == set(Client) - {Client.NODE}
    assert len(regions.regions) == 4 * 4


def test_a_prefix_and_a_device_with_it_overlap():
    regions = Regions.of(4, with_devices("cali1", "cali2")).split(device("cali+"), device("cali1"))

    assert kinds(regions, device("cali+"), device("cali1")) == set(Client) - {Client.NODE}
    assert kinds(regions, device("cali1"), device("cali+", negated=True)) == set()


def test_too_many_conditions_cannot_be_followed_and_many_devices_can():
    def unknown(number: int) -> Regions:
        return REGIONS.split(*(SourceTest("set", str(n), negated=False) for n in range(number)))

    assert len(unknown(7).regions) == 512
    assert not unknown(7).are_too_many
    assert unknown(8).are_too_many
    devices = [f"cali{each}" for each in range(400)]
    by_device = Regions.of(4, with_devices(*devices)).split(*map(device, devices))
    assert len(by_device.regions) == 1 + 3 * 401
    assert not by_device.are_too_many


def test_the_kinds_of_a_family_are_those_with_addresses():
    assert set(Regions.of(6, clients()).kinds) == {Client.OUTSIDE}
    assert kinds(Regions.of(6, clients()), network("::/0")) == {Client.OUTSIDE}
