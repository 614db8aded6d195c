"""Which policies may be the reason for a query without an answer, by where the query goes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.checks.small_cluster import (
    HOST,
    KUBERNETES,
    WEB_NETNS,
    SmallCluster,
    answer,
    link,
)
from wirecheck.snapshot.attempts import Probe, Try
from wirecheck.snapshot.netns import Address

LOST = Try(2.5, error="timeout")
REPLICA, SERVICE, SERVICE6 = "10.244.0.2", "10.96.0.10", "fd00:96::a"


def restrict(small: SmallCluster, *blocks: str, kind: str = "UDP") -> None:
    """The web pod may send DNS queries to these ranges only."""
    peers = [{"ipBlock": {"cidr": each}} for each in blocks]
    rules = [{"to": peers, "ports": [{"port": 53, "protocol": kind}]}] if blocks else []
    small.api["networkPolicies"] = [
        {
            "metadata": {"name": "some", "namespace": "shop"},
            "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": rules},
        }
    ]
    small.api["policyRulesRead"] = True


def reason(small: SmallCluster, *tries: Try, server: str = SERVICE, **fields: Any) -> str:
    """Why a query of the web pod that ended like this is inconclusive."""
    known = {"transport": "udp", "port": 53} | fields
    probe = Probe(WEB_NETNS, "kubernetes", server, tries=list(tries or [LOST]), **known)
    small.change_document(probes=[probe])
    found = iter(small.node.dns.pod_lookups(known["transport"]))
    return next(pod.restricted_by for pod, _ in found if pod.name == "web")


def bind(small: SmallCluster, where: str) -> None:
    assert small.document
    host = small.document.namespaces[0]
    small.change_netns(
        HOST,
        links=[*host.links, link(90, "nodelocaldns", "dummy")],
        addresses=[*host.addresses, Address(90, where, 32)],
    )


@pytest.mark.parametrize(
    ("tries", "is_excused"),
    [
        ([LOST], True),
        ([Try(0.01, answer=answer(KUBERNETES, rcode=5))], True),
        ([Try(0.01, answer=answer(KUBERNETES, rcode=3))], False),
        ([Try(0.01, answer=answer(KUBERNETES, "192.0.2.66"))], False),
        ([Try(0.01, answer="AAAA")], False),
    ],
    ids=["lost", "refused", "no such name", "another address", "damaged"],
)
def test_a_policy_may_stop_or_refuse_a_query_and_nothing_else(
    small: SmallCluster, tries: list[Try], is_excused: bool
) -> None:
    restrict(small)

    assert reason(small, *tries) == ("NetworkPolicy shop/some" if is_excused else "")


@pytest.mark.parametrize(
    ("allowed", "is_excused"), [("10.244.0.0/24", False), ("10.96.0.0/16", True)]
)
def test_a_query_to_the_service_arrives_at_its_replicas(
    small: SmallCluster, allowed: str, is_excused: bool
) -> None:
    restrict(small, allowed)

    assert bool(reason(small)) is is_excused


@pytest.mark.parametrize(
    ("allowed", "is_excused"), [("10.244.0.0/24", True), ("10.96.0.0/16", False)]
)
def test_a_cache_with_the_services_address_answers_at_that_address(
    small: SmallCluster, allowed: str, is_excused: bool
) -> None:
    bind(small, SERVICE)
    restrict(small, allowed)

    assert bool(reason(small)) is is_excused


TO_DNS = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
OUTSIDE = "203.0.113.53"


@pytest.mark.parametrize(
    ("peer", "server", "is_excused"),
    [
        (TO_DNS, REPLICA, False),
        (TO_DNS, OUTSIDE, True),
        ({"ipBlock": {"cidr": "203.0.113.0/24"}}, OUTSIDE, False),
        ({"ipBlock": {"cidr": "203.0.113.0/24"}}, REPLICA, True),
    ],
)
def test_a_query_to_another_address_is_for_the_pod_that_has_it(
    small: SmallCluster, peer: dict[str, Any], server: str, is_excused: bool
) -> None:
    restrict(small, "192.0.2.0/24")
    small.api["networkPolicies"][0]["spec"]["egress"][0]["to"] = [peer]

    assert bool(reason(small, server=server)) is is_excused


def test_the_node_itself_is_not_the_pod_with_the_address(small: SmallCluster) -> None:
    bind(small, REPLICA)
    restrict(small, "192.0.2.0/24")
    small.api["networkPolicies"][0]["spec"]["egress"][0]["to"] = [TO_DNS]

    assert reason(small, server=REPLICA) == "NetworkPolicy shop/some"


def test_replicas_of_the_queries_family_count(small: SmallCluster) -> None:
    small.api["services"][1]["spec"]["clusterIPs"].append(SERVICE6)
    small.api["pods"][0]["status"]["podIPs"].append({"ip": "fd00::2"})
    restrict(small, "fd00::/64")

    assert reason(small, server=SERVICE6) == ""
    assert reason(small) != ""


@pytest.mark.parametrize(("kind", "is_excused"), [("UDP", True), ("TCP", False)])
def test_the_protocol_of_the_query_counts(small: SmallCluster, kind: str, is_excused: bool) -> None:
    restrict(small, "10.244.0.0/24", kind=kind)

    assert bool(reason(small, transport="tcp")) is is_excused
