"""A pod's resolv.conf, compared with what its dnsPolicy and its dnsConfig imply."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import convert

from wirecheck.addresses import address
from wirecheck.api_index.pod import Pod
from wirecheck.node.dns_servers import DnsServers
from wirecheck.node.resolver import Resolver, mounts_own_file
from wirecheck.parse.resolv_conf import ResolvConf
from wirecheck.snapshot.objects.pod import PodObject

DNS, OTHER, LOCAL = "10.96.0.10", "198.51.100.53", "169.254.25.10"
SERVERS = DnsServers(frozenset({address(DNS)}))
DOMAIN = "cluster.local"
PATH = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")


def pod(policy: str = "ClusterFirst", mounts: tuple[str, ...] = (), **config: Any) -> Pod:
    spec = {
        "dnsPolicy": policy,
        "dnsConfig": config,
        "containers": [
            {"name": "c"},
            {"name": "d", "volumeMounts": [{"mountPath": m} for m in mounts]},
        ],
    }
    return Pod(convert({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec}, PodObject))


def deviations(
    of: Pod,
    servers: tuple[str, ...] = (DNS,),
    searches: tuple[str, ...] = PATH,
    *,
    known: DnsServers = SERVERS,
    domains: tuple[str, ...] = (DOMAIN,),
    mounts_known: bool = True,
) -> list[tuple[str, str]]:
    resolver = Resolver(of, ResolvConf(servers, searches), domains, known, mounts_known)
    return [(each.expected, each.found) for each in resolver.deviations]


def test_what_the_kubelet_writes_by_default_is_right() -> None:
    assert deviations(pod()) == []
    assert deviations(pod("ClusterFirstWithHostNet")) == []
    assert deviations(pod(), searches=(*PATH, "example.com")) == []
    assert deviations(pod(), searches=tuple(each.upper() for each in PATH)) == []


@pytest.mark.parametrize(
    ("servers", "found"),
    [
        ((), "no nameserver"),
        ((OTHER,), f"nameserver {OTHER}"),
        # Only the first one is asked as long as it answers.
        ((OTHER, DNS), f"nameserver {OTHER} {DNS}"),
    ],
)
def test_the_first_server_is_that_of_the_cluster(servers: tuple[str, ...], found: str) -> None:
    assert deviations(pod(), servers) == [(f"nameserver {DNS} first", found)]
    assert deviations(pod(), (DNS, OTHER)) == []


def test_a_cluster_without_a_dns_service_has_no_address_to_name() -> None:
    (found,) = deviations(pod(), (OTHER,), known=DnsServers(frozenset()))

    assert found[0] == "nameserver of the cluster first"


def test_all_addresses_of_the_dns_service_are_named() -> None:
    both = DnsServers(frozenset({address("fd00::10"), address(DNS)}))

    assert deviations(pod(), (OTHER,), known=both)[0][0] == f"nameserver {DNS}, fd00::10 first"


@pytest.mark.parametrize(("policy", "number"), [("Default", 0), ("ClusterFirst", 2)])
def test_a_pod_with_policy_default_has_the_settings_of_the_node(policy: str, number: int) -> None:
    assert len(deviations(pod(policy), (OTHER,), ("example.com",))) == number


@pytest.mark.parametrize(
    ("searches", "is_right"),
    [
        (PATH, True),
        (PATH[:2], False),
        ((PATH[1], PATH[0], PATH[2]), False),
        ((), False),
        (("ops.svc.cluster.local", *PATH[1:]), False),
    ],
)
def test_the_search_path_begins_with_that_of_the_namespace(
    searches: tuple[str, ...], is_right: bool
) -> None:
    expected = [] if is_right else [f"search {' '.join(PATH)} first"]

    assert [each for each, _ in deviations(pod(), searches=searches)] == expected


def test_one_of_several_domains_is_enough_and_without_one_any_path_is_right() -> None:
    domains = ("other.local", DOMAIN)
    assert deviations(pod(), domains=domains) == []
    assert deviations(pod(), searches=("a",), domains=()) == []
    mixed = ("shop.svc.other.local", *PATH[1:])
    assert len(deviations(pod(), searches=mixed, domains=domains)) == 1


@pytest.mark.parametrize(
    ("servers", "is_right"),
    [
        ((OTHER,), True),
        ((OTHER, OTHER), True),
        ((OTHER, DNS), False),
        ((DNS,), False),
        ((), False),
    ],
)
def test_with_policy_none_the_pods_own_servers_are_all(
    servers: tuple[str, ...], is_right: bool
) -> None:
    own = pod("None", nameservers=[OTHER])

    assert (deviations(own, servers, ()) == []) is is_right


def test_of_its_servers_the_first_three_are_written() -> None:
    own = pod("None", nameservers=[f"198.51.100.{number}" for number in range(4)])
    written = tuple(f"198.51.100.{number}" for number in range(4))

    assert deviations(own, written[:3], ()) == []
    assert len(deviations(own, written, ())) == 1
    assert len(deviations(own, written[:2], ())) == 1


def test_two_ways_to_write_an_address_are_the_same() -> None:
    own = pod("None", nameservers=["fd00:0:0::53"])

    assert deviations(own, ("fd00::53",), ()) == []
    assert len(deviations(own, ("fd00::54",), ())) == 1
    assert deviations(pod("None", nameservers=["a name"]), ("a name",), ()) == []


@pytest.mark.parametrize(
    ("servers", "missing"),
    [
        ((DNS,), True),
        ((DNS, OTHER), False),
        ((DNS, "198.51.100.1"), True),
        # A full list may lack it.
        ((DNS, "198.51.100.1", "198.51.100.2"), False),
    ],
)
def test_servers_of_the_pod_follow_that_of_the_cluster(
    servers: tuple[str, ...], missing: bool
) -> None:
    found = deviations(pod(nameservers=[OTHER]), servers)

    assert [each for each, _ in found] == ([f"nameserver {OTHER}"] if missing else [])


@pytest.mark.parametrize(
    ("own", "searches", "is_right"),
    [
        (["a.b"], ("a.b",), True),
        (["a.b."], ("a.b",), True),
        (["A.b", "a.B"], ("a.b",), True),
        (["."], (".",), True),
        (["a.b"], (), False),
        (["a.b"], ("a.b", "c.d"), False),
        ([], (), True),
        # A kubelet before 1.28 wrote six of them.
        ([*"abcdefg"], tuple("abcdef"), True),
        ([*"abcdefg"], tuple("abcdeg"), False),
        ([*"abcdefg"], tuple("abcde"), False),
        ([*"abcdefg"], tuple("bcdefg"), False),
        (["a" * 200, "b" * 100], ("a" * 200,), True),
        (["a" * 200, "b" * 100], ("b" * 100,), False),
    ],
)
def test_with_policy_none_the_pods_own_search_path_is_all(
    own: list[str], searches: tuple[str, ...], is_right: bool
) -> None:
    found = deviations(pod("None", searches=own), (), searches)

    assert (found == []) is is_right


@pytest.mark.parametrize(
    ("searches", "missing"),
    [
        (PATH, True),
        ((*PATH, "a.b"), False),
        ((*PATH, "x", "y"), True),
        ((*PATH, "x", "y", "z"), False),
        ((*PATH, "x" * 250), False),
    ],
)
def test_the_pods_own_search_path_follows_that_of_the_cluster(
    searches: tuple[str, ...], missing: bool
) -> None:
    found = deviations(pod(searches=["a.b"]), searches=searches)

    assert [each for each, _ in found] == (["search a.b"] if missing else [])


@pytest.mark.parametrize(
    ("servers", "searches", "handed_out", "is_unsure"),
    [
        ((OTHER,), ("example.com",), (DNS,), True),
        ((OTHER,), ("example.com",), (), False),
        # A trace of the kubelet's settings: the file is its own.
        ((OTHER, DNS), ("example.com",), (DNS,), False),
        ((OTHER,), ("x.svc.example.com",), (DNS,), False),
        ((OTHER,), ("svc.example.com",), (DNS,), False),
        ((OTHER,), ("a.b.svc.example.com",), (DNS,), True),
        # The kubelet writes a loopback address for no pod.
        (("127.0.0.1",), PATH, (DNS,), True),
        (("127.0.0.1",), PATH, (), True),
        ((OTHER, "127.0.0.1"), PATH, (), False),
        (("a name",), PATH, (DNS,), False),
    ],
)
def test_where_mounts_are_unknown_a_file_may_be_the_pods_own(
    servers: tuple[str, ...],
    searches: tuple[str, ...],
    handed_out: tuple[str, ...],
    is_unsure: bool,
) -> None:
    known = DnsServers(frozenset({address(DNS)}), handed_out=handed_out)
    for mounts_known in (True, False):
        file = ResolvConf(servers, searches)
        first, *_ = Resolver(pod(), file, (DOMAIN,), known, mounts_known).deviations
        assert ("may mount" in first.unsure) is (is_unsure and not mounts_known)


def test_a_server_that_the_node_may_serve_is_inconclusive() -> None:
    file = ResolvConf((LOCAL,), PATH)
    (found,) = Resolver(pod(), file, (DOMAIN,), SERVERS, mounts_known=True).deviations

    assert found.unsure == f"nothing on the node shows what serves DNS at {LOCAL}"


@pytest.mark.parametrize(
    ("paths", "mounts"),
    [
        (["/etc/resolv.conf"], True),
        (["/data", "/etc/resolv.conf"], True),
        (["/etc/"], True),
        (["/etc//resolv.conf"], True),
        (["/etc/ssl"], False),
        ([], False),
    ],
)
def test_a_container_may_mount_a_file_of_its_own(paths: list[str], mounts: bool) -> None:
    assert mounts_own_file(pod(mounts=tuple(paths))) is mounts
