"""The checks of what is asked beside Services' names: losses, pairs, unknown and large names."""

import dns.flags
import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import HOST, KUBERNETES, OUTSIDE, UNKNOWN, WEB_NETNS, WIDE, answer
from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable
from wirecheck.catalogue.registry import load
from wirecheck.snapshot.attempts import Try
from wirecheck.snapshot.netns import Address, Link
from wirecheck.snapshot.node_document import PodFile
from wirecheck.snapshot.node_settings import Kubelet

LOST = Try(2.5, error="timeout")
ADDRESSES = [f"192.0.2.{number}" for number in range(1, 41)]


@pytest.mark.parametrize(("lost", "level"), [(1, Level.WARN), (2, Level.FAIL), (8, Level.FAIL)])
def test_lost_queries_are_counted(small, lost, level):
    small.change_purpose("sample", *[LOST] * lost)

    (finding,) = small.findings("dns.no_packet_loss")
    assert finding.level is level
    assert f"{lost} of 40 queries lost" in finding.found
    assert "kube-system/dns" in finding.found


def test_two_lost_queries_of_many_are_a_warning_below_five_percent(small):
    first = next(each for each in small.document.probes if each.purpose == "sample")
    small.change_document(probes=[*small.document.probes, *[first] * 5])
    small.change_purpose("sample", LOST, LOST)

    (finding,) = small.findings("dns.no_packet_loss")
    assert (finding.level, "2 of 45 queries lost" in finding.found) == (Level.WARN, True)


def test_one_lost_query_of_few_is_a_warning_whatever_its_share(small):
    """In a cluster of one replica ten queries are sent: one of them is already 10 %."""
    others = [each for each in small.document.probes if each.purpose != "sample"]
    samples = [each for each in small.document.probes if each.purpose == "sample"][:10]
    small.change_document(probes=[*others, *samples])

    small.change_purpose("sample", LOST)
    (finding,) = small.findings("dns.no_packet_loss")
    assert (finding.level, "1 of 10 queries lost (10 %)" in finding.found) == (Level.WARN, True)

    small.change_purpose("sample", LOST, LOST)
    (finding,) = small.findings("dns.no_packet_loss")
    assert finding.level is Level.FAIL


def test_how_much_may_be_lost_comes_from_the_inventory(small):
    small.thresholds["dns.lost_fail"] = 25
    small.change_purpose("sample", *[LOST] * 8)

    (finding,) = small.findings("dns.no_packet_loss")
    assert finding.level is Level.WARN


def test_a_silent_replica_does_not_count_as_loss(small):
    small.change_purpose("sample", *[LOST] * 40)

    with pytest.raises(NotApplicable, match="replicas_answer"):
        small.findings("dns.no_packet_loss")


@pytest.mark.parametrize(
    "check",
    [
        "dns.no_packet_loss",
        "dns.parallel_a_aaaa",
        "dns.nxdomain",
        "dns.large_responses",
        "dns.external_names",
        "dns.node_local_cache",
    ],
)
def test_what_was_not_asked_never_passes(small, check):
    small.change_document(probes=[each for each in small.document.probes if not each.purpose])

    with pytest.raises(NotApplicable):
        small.findings(check)


def test_a_family_that_is_not_answered_is_found(small):
    small.change_purpose("pair", Try(2.5, error="timeout after 1 of 2 answers"))

    (finding,) = small.findings("dns.parallel_a_aaaa")
    assert finding.subject.name == "web"
    assert "after 1 of 2 answers" in finding.found


def test_a_family_that_is_answered_wrongly_is_found(small):
    right = answer(KUBERNETES, "10.96.0.1")
    wrong = answer(f"{KUBERNETES}AAA", "2001:db8::66")
    small.change_purpose("pair", Try(0.01, answer=right, second=wrong))

    (finding,) = small.findings("dns.parallel_a_aaaa")
    assert finding.found.startswith("2001:db8::66")
    assert "AAAA" in finding.expected


def test_a_pod_that_is_not_answered_at_all_is_not_reported_twice(small):
    small.change_probes(WEB_NETNS, "udp", [LOST])
    small.change_purpose("pair", LOST)

    assert small.findings("dns.pods_resolve_udp")
    with pytest.raises(NotApplicable):
        small.findings("dns.parallel_a_aaaa")


@pytest.mark.parametrize(
    ("purpose", "query", "check"),
    [
        ("large answer", "wide", "dns.large_responses"),
        ("external name", "outside", "dns.external_names"),
    ],
)
def test_a_replica_that_is_silent_is_not_reported_twice(small, purpose, query, check):
    small.ask(purpose, query, LOST)
    assert small.findings(check)

    small.change_probes(HOST, "udp", [LOST], server="10.244.0.2")
    with pytest.raises(NotApplicable):
        small.findings(check)


def deny_egress(small):
    small.api["networkPolicies"] = [
        {
            "metadata": {"name": "deny", "namespace": "shop"},
            "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"]},
        }
    ]


def test_silence_behind_a_policy_is_not_evaluated_and_a_wrong_answer_is(small):
    deny_egress(small)
    small.change_purpose("pair", LOST)
    (silent,) = small.findings("dns.parallel_a_aaaa")
    small.change_purpose("pair", Try(0.01, answer=answer(KUBERNETES, "192.0.2.66"), second=""))
    (wrong, *_) = small.findings("dns.parallel_a_aaaa")

    assert silent.inconclusive == "NetworkPolicy shop/deny"
    assert wrong.inconclusive == ""


@pytest.mark.parametrize(
    ("wire", "found"),
    [
        (answer(UNKNOWN, "192.0.2.66"), "192.0.2.66"),
        (answer(UNKNOWN, rcode=2), "SERVFAIL"),
        (answer(UNKNOWN), "an empty answer"),
    ],
)
def test_an_unknown_name_that_exists_is_found(small, wire, found):
    small.change_purpose("unknown name", Try(0.01, answer=wire))

    (finding,) = small.findings("dns.nxdomain")
    assert finding.found.startswith(found)


def wide_service(small):
    small.api["services"].append(
        {
            "metadata": {"name": "wide", "namespace": "shop"},
            "spec": {"clusterIP": "None", "selector": {"app": "wide"}},
        }
    )
    small.api["endpointSlices"].append(
        {
            "metadata": {
                "name": "wide",
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": "wide"},
            },
            "endpoints": [{"addresses": [each]} for each in ADDRESSES],
        }
    )


@pytest.mark.parametrize(
    ("data", "flags", "is_right"),
    [
        (ADDRESSES, 0, True),
        (ADDRESSES[:20], dns.flags.TC, True),
        ([], dns.flags.TC, True),
        (ADDRESSES[:20], 0, False),
        (["192.0.2.66"], dns.flags.TC, False),
    ],
)
def test_a_large_answer_is_whole_or_says_that_it_is_not(small, data, flags, is_right):
    wide_service(small)
    small.ask("large answer", "wide", Try(0.01, answer=answer(WIDE, *data, flags=flags)))

    assert bool(small.findings("dns.large_responses")) is not is_right


def test_a_large_answer_that_does_not_come_is_found(small):
    wide_service(small)
    small.ask("large answer", "wide", LOST)

    (finding,) = small.findings("dns.large_responses")
    assert "over UDP" in finding.subject.part
    assert finding.expected.startswith("40 addresses")


@pytest.mark.parametrize(
    ("attempt", "found"),
    [
        (LOST, "timeout in 1 tries"),
        (Try(0.01, answer=answer(OUTSIDE, rcode=2)), "SERVFAIL"),
        (Try(0.01, answer=answer(OUTSIDE)), "an empty answer"),
        (Try(0.01, answer="AAAA"), "3 bytes that are not a DNS response"),
    ],
)
def test_an_external_name_that_does_not_resolve_is_found(small, attempt, found):
    small.ask("external name", "outside", attempt)

    (finding,) = small.findings("dns.external_names")
    assert finding.found.startswith(found)


def test_a_slow_answer_from_outside_is_not_the_clusters(small):
    small.ask("external name", "outside", Try(2.0, answer=answer(OUTSIDE, "192.0.2.80")))

    assert not small.findings("dns.external_names")
    assert not small.findings("dns.latency")


def node_local_cache(small, address):
    host = small.document.namespaces[0]
    device = Link(9, "nodelocaldns", flags=["BROADCAST", "NOARP"], mtu=1500, kind="dummy")
    small.change_netns(
        HOST, links=[*host.links, device], addresses=[*host.addresses, Address(9, address, 32)]
    )


def test_a_node_local_cache_that_is_silent_is_found(small):
    node_local_cache(small, "169.254.20.10")
    right = Try(0.01, answer=answer(KUBERNETES, "10.96.0.1"))
    small.ask("local cache", "kubernetes", right, server="169.254.20.10")
    assert not small.findings("dns.node_local_cache")

    small.ask("local cache", "kubernetes", LOST, server="169.254.20.10", transport="tcp")
    (finding,) = small.findings("dns.node_local_cache")
    assert finding.subject.part == "at 169.254.20.10 over TCP"


def test_pods_may_ask_a_node_local_cache_of_another_address(small):
    text = "search shop.svc.cluster.local svc.cluster.local cluster.local\nnameserver {}\n"
    web = small.document.pods[1]
    file = PodFile(text.format("169.254.25.10"))
    small.change_document(pods=[small.document.pods[0], replace(web, resolv_conf=file)])
    assert small.findings("dns.resolv_conf")

    node_local_cache(small, "169.254.25.10")
    assert not small.findings("dns.resolv_conf")


@pytest.mark.parametrize("address", ["169.254.20.10", "10.96.0.10"])
@pytest.mark.parametrize("check", ["routes", "links", "nodes", "dns", "pods", "overlay"])
def test_no_other_check_takes_the_cache_for_a_fault(small, check, address, catalogue_ids):
    node_local_cache(small, address)

    for each in catalogue_ids(check):
        try:
            assert not small.findings(each), each
        except NotApplicable:
            continue


@pytest.fixture
def catalogue_ids(small):
    """The checks of a group that pass, or do not apply, before anything is changed."""

    def of(group):
        found = []
        for each in load():
            if each.group == group and each.scope == "node":
                try:
                    before = small.findings(each.id)
                except (NotApplicable, FactMissingError):
                    continue
                if not before:
                    found.append(each.id)
        assert found
        return found

    return of


@pytest.mark.parametrize(
    ("flags", "lines", "part", "found"),
    [
        ({}, ["clusterDNS:", "- 10.96.0.11", "clusterDomain: cluster.local"], "clusterDNS",
         "10.96.0.11"),
        ({}, ["clusterDomain: cluster.local"], "clusterDNS", "nothing"),
        ({}, ["clusterDNS: [10.96.0.10]", "clusterDomain: old.local"], "clusterDomain",
         "old.local"),
        ({"cluster-dns": "192.0.2.53"}, ["clusterDomain: cluster.local"], "clusterDNS",
         "192.0.2.53"),
        ({"cluster-domain": "old.local."}, ["clusterDNS: [10.96.0.10]"], "clusterDomain",
         "old.local"),
    ],
)  # fmt: skip
def test_a_kubelet_with_other_settings_is_found(small, flags, lines, part, found):
    small.change_document(kubelet=Kubelet(flags, lines))

    (finding,) = small.findings("dns.kubelet_cluster_dns")
    assert finding.subject.part == f"kubelet's {part}"
    assert finding.found == found


@pytest.mark.parametrize(
    ("flags", "lines"),
    [
        ({}, ["clusterDNS: [169.254.20.10]", "clusterDomain: cluster.local."]),
        ({"cluster-dns": "10.96.0.10", "cluster-domain": "cluster.local"}, []),
    ],
)
def test_a_kubelet_with_its_right_settings_passes(small, flags, lines):
    small.change_document(kubelet=Kubelet(flags, lines))

    assert not small.findings("dns.kubelet_cluster_dns")


@pytest.mark.parametrize(
    ("kubelet", "raised"),
    [
        (None, NotApplicable),
        (Kubelet({"config-dir": "/etc/kubelet.d"}), NotApplicable),
        (Kubelet({}, problem="/etc/kubelet: Permission denied"), FactMissingError),
        (Kubelet({}, ["clusterDNS: ["]), FactMissingError),
    ],
)
def test_a_kubelet_that_was_not_read_never_passes(small, kubelet, raised):
    small.change_document(kubelet=kubelet)

    with pytest.raises(raised):
        small.findings("dns.kubelet_cluster_dns")
