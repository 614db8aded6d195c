"""The checks of DNS, each on a cluster where one thing is broken."""

import pytest

from tests.checks.small_cluster import DNS_NETNS, HOST, KUBERNETES, WEB_NETNS, answer
from wirecheck.catalogue.findings import FactMissingError, Level, NotApplicable
from wirecheck.snapshot.attempts import Try
from wirecheck.snapshot.node_document import PodFile, PodProcesses

LOST = [Try(2.0, error="timeout")] * 3


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_pod_without_an_answer_is_found(small, transport):
    small.change_probes(WEB_NETNS, transport, LOST)

    (finding,) = small.findings(f"dns.pods_resolve_{transport}")
    assert finding.subject.name == "web"
    assert finding.found == "timeout in 3 of 3 tries, 6.0 s in total"


def test_an_answer_after_a_loss_is_an_answer(small):
    tries = [*LOST[:2], Try(0.01, answer=answer(KUBERNETES, "10.96.0.1"))]
    small.change_probes(WEB_NETNS, "udp", tries)

    assert not small.findings("dns.pods_resolve_udp")


@pytest.mark.parametrize(
    ("wire", "found"),
    [
        (answer(KUBERNETES, "192.0.2.66"), "192.0.2.66, not the answer"),
        (answer(KUBERNETES), "an empty answer, not the answer"),
        ("AAAA", "3 bytes that are not a DNS response"),
    ],
)
def test_a_wrong_answer_is_worse_than_none(small, wire, found):
    small.change_probes(WEB_NETNS, "udp", [Try(0.01, answer=wire)])

    (finding,) = small.findings("dns.pods_resolve_udp")
    assert found in finding.found


def test_a_pod_behind_an_egress_policy_is_not_evaluated(small):
    small.api["networkPolicies"] = [
        {
            "metadata": {"name": "deny", "namespace": "shop"},
            "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"]},
        }
    ]
    small.change_probes(WEB_NETNS, "udp", LOST)

    (finding,) = small.findings("dns.pods_resolve_udp")
    assert finding.inconclusive == "NetworkPolicy shop/deny"


def test_a_pod_that_was_never_asked_is_an_error(small):
    small.change_document(probes=[p for p in small.document.probes if p.inode != WEB_NETNS])

    with pytest.raises(FactMissingError, match="shop/web"):
        small.findings("dns.pods_resolve_udp")


def test_the_nodes_own_lookups_are_evaluated_separately(small):
    small.change_probes(HOST, "tcp", LOST, server="10.96.0.10")

    (finding,) = small.findings("dns.nodes_resolve")
    assert finding.subject.part == "at 10.96.0.10 over TCP"
    assert not small.findings("dns.replicas_answer")


def test_a_silent_replica_is_found(small):
    small.change_probes(HOST, "udp", LOST, server="10.244.0.2")

    (finding,) = small.findings("dns.replicas_answer")
    assert finding.subject.part == "to Pod kube-system/dns at 10.244.0.2 over UDP"
    assert not small.findings("dns.nodes_resolve")


def test_a_replica_that_is_not_ready_is_found(small):
    small.api["pods"][0]["status"]["conditions"] = []

    (finding,) = small.findings("dns.replicas_ready")
    assert finding.found == "not Ready"


@pytest.mark.parametrize(
    ("time", "at"), [("2026-11-22T19:03:40Z", 1795374220.0), ("", None), ("tomorrow", None)]
)
def test_a_replica_is_not_ready_since_its_condition_changed(small, time, at):
    condition = {"type": "Ready", "status": "False", "lastTransitionTime": time}
    small.api["pods"][0]["status"]["conditions"] = [condition]

    (finding,) = small.findings("dns.replicas_ready")
    assert (finding.since.at if finding.since else None) == at


def test_a_cluster_without_dns_replicas_is_found(small):
    small.api["pods"] = small.api["pods"][1:]
    small.api["endpointSlices"] = []

    (finding,) = small.findings("dns.replicas_ready")
    assert finding.expected == "at least one DNS replica"


def with_resolv_conf(small, text: str) -> None:
    uid = small.api["pods"][1]["metadata"]["uid"]
    processes = PodProcesses(uid, WEB_NETNS, resolv_conf=PodFile(text))
    small.change_document(pods=[small.document.pods[0], processes])


SEARCH = "search shop.svc.cluster.local svc.cluster.local cluster.local"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{SEARCH}\nnameserver 192.0.2.53\n", "nameserver 10.96.0.10 first"),
        (f"{SEARCH}\n", "nameserver 10.96.0.10 first"),
        ("search example.test\nnameserver 10.96.0.10\n", f"{SEARCH} first"),
        (f"{SEARCH}\nnameserver not-an-address\n", "nameserver 10.96.0.10 first"),
    ],
)
def test_a_wrong_resolv_conf_is_found(small, text, expected):
    with_resolv_conf(small, text)

    (finding,) = small.findings("dns.resolv_conf")
    assert finding.expected == expected


@pytest.mark.parametrize(
    ("spec", "text", "found"),
    [
        ({"dnsPolicy": "Default"}, "nameserver 192.0.2.53\n", []),
        ({"hostNetwork": True}, "nameserver 192.0.2.53\n", []),
        (
            {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"], "searches": ["a.b"]}},
            "nameserver 192.0.2.1\nsearch a.b\n",
            [],
        ),
        (
            {"dnsPolicy": "None", "dnsConfig": {"nameservers": ["192.0.2.1"]}},
            "nameserver 10.96.0.10\n",
            ["nameserver 10.96.0.10"],
        ),
        (
            {"dnsConfig": {"searches": ["more.test"]}},
            f"{SEARCH} more.test\nnameserver 10.96.0.10\n",
            [],
        ),
        (
            {"dnsConfig": {"searches": ["more.test"]}},
            f"{SEARCH}\nnameserver 10.96.0.10\n",
            [SEARCH],
        ),
        ({"dnsPolicy": "ClusterFirstWithHostNet"}, f"{SEARCH}\nnameserver 169.254.20.10\n", []),
    ],
)
def test_resolv_conf_follows_the_pods_dns_policy(small, spec, text, found):
    small.api["pods"][1]["spec"] |= spec
    with_resolv_conf(small, text)

    assert [f.found for f in small.findings("dns.resolv_conf")] == found


def test_a_resolv_conf_that_was_refused_is_an_error(small):
    uid = small.api["pods"][1]["metadata"]["uid"]
    refused = PodProcesses(uid, WEB_NETNS, resolv_conf=PodFile(refused="symbolic link"))
    small.change_document(pods=[small.document.pods[0], refused])

    with pytest.raises(FactMissingError, match="shop/web: symbolic link"):
        small.findings("dns.resolv_conf")


def test_dns_itself_is_asked_like_every_pod(small):
    small.change_probes(DNS_NETNS, "udp", LOST)

    (finding,) = small.findings("dns.pods_resolve_udp")
    assert finding.subject.name == "dns"


@pytest.mark.parametrize(
    ("seconds", "level", "expected"),
    [
        (1.9, Level.FAIL, "99 % of answers within 1000 ms"),
        (0.4, Level.WARN, "half of the answers within 100 ms"),
    ],
)
def test_slow_answers_are_found(small, seconds, level, expected):
    slow = [Try(seconds, answer=answer(KUBERNETES, "10.96.0.1"))]
    for inode in (HOST, WEB_NETNS, DNS_NETNS):
        small.change_probes(inode, "udp", slow)
    small.change_purpose("sample", *slow * 40)

    (finding,) = small.findings("dns.latency")
    assert (finding.level, finding.expected) == (level, expected)
    assert f"at most {seconds * 1000:.0f} ms" in finding.found


def test_a_lost_query_is_not_a_slow_answer(small):
    small.change_probes(WEB_NETNS, "udp", LOST)

    assert not small.findings("dns.latency")


def test_what_is_slow_comes_from_the_inventory(small):
    small.thresholds["dns.slowest_fail"] = 0.001

    (finding,) = small.findings("dns.latency")
    assert finding.level is Level.FAIL


def test_times_of_no_answers_never_passes(small):
    small.change_document(probes=[each for each in small.document.probes if not each.purpose])
    for inode in (HOST, WEB_NETNS, DNS_NETNS):
        small.change_probes(inode, "udp", LOST)

    with pytest.raises(NotApplicable):
        small.findings("dns.latency")
