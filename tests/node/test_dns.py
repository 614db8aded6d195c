"""DNS as one node sees it: which of its queries count for what."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import (
    DNS_NETNS,
    HOST,
    KUBERNETES,
    WEB_NETNS,
    SmallCluster,
    answer,
)
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.dns import NodeDns
from wirecheck.snapshot.api_objects import Change
from wirecheck.snapshot.attempts import Probe, Try

RIGHT, LOST = Try(0.01, answer=answer(KUBERNETES, "10.96.0.1")), Try(2.5, error="timeout")
REPLICA, SERVICE = "10.244.0.2", "10.96.0.10"


def probes(small: SmallCluster, *every: Probe) -> NodeDns:
    small.change_document(probes=list(every))
    return small.node.dns


def sent(purpose: str, *tries: Try, **fields: Any) -> Probe:
    known = {"inode": HOST, "server": REPLICA, "port": 53, "transport": "udp"} | fields
    query = known.pop("query", "kubernetes")
    return Probe(query=query, purpose=purpose, tries=list(tries), **known)


class TestSamples:
    def test_the_last_try_of_each_query_to_a_replica_counts(self, small: SmallCluster) -> None:
        dns = probes(
            small,
            sent("sample", RIGHT),
            sent("sample", LOST, RIGHT),
            sent("sample", RIGHT, LOST),
            sent("sample"),
            sent("sample", LOST, server="10.244.0.99"),
            sent("", LOST),
        )

        (found,) = dns.samples.samples
        assert (found.replica.name, found.sent, found.lost) == ("dns", 3, 1)

    def test_a_replica_without_any_answer_is_reported_elsewhere(self, small: SmallCluster) -> None:
        with pytest.raises(NotApplicable, match=r"dns\.replicas_answer"):
            _ = probes(small, sent("sample", LOST), sent("sample", LOST)).samples
        with pytest.raises(NotApplicable, match="not probed"):
            _ = probes(small, sent("", RIGHT)).samples

    def test_one_silent_replica_does_not_hide_the_losses_of_another(
        self, small: SmallCluster
    ) -> None:
        second = replica(small, "10.244.0.7")
        dns = probes(
            small,
            sent("sample", LOST, server=second),
            sent("sample", LOST),
            sent("sample", RIGHT),
        )

        assert [(each.sent, each.lost) for each in dns.samples.samples] == [(2, 1)]


def replica(small: SmallCluster, where: str) -> str:
    """Add a second DNS replica."""
    first = small.api["pods"][0]
    meta = {**first["metadata"], "name": "dns-2", "uid": "uid-of-dns-2"}
    status = {**first["status"], "podIP": where, "podIPs": [{"ip": where}]}
    small.api["pods"].append({**first, "metadata": meta, "status": status})
    endpoints = small.api["endpointSlices"][0]["endpoints"]
    reference = {"kind": "Pod", "name": "dns-2", "namespace": "kube-system"}
    endpoints.append({**endpoints[0], "addresses": [where], "targetRef": reference})
    return where


class TestLossOfPods:
    def test_without_such_queries_nothing_is_known(self, small: SmallCluster) -> None:
        assert probes(small, sent("pod sample"), sent("", RIGHT)).pod_loss is None

    def test_queries_that_do_not_count_leave_the_others(self, small: SmallCluster) -> None:
        lost = sent("pod sample", RIGHT, LOST, inode=WEB_NETNS)
        right = sent("pod sample", LOST, RIGHT, inode=WEB_NETNS)
        unknown = sent("pod sample", LOST, inode=4711)
        elsewhere = sent("pod sample", LOST, inode=WEB_NETNS, server="10.244.0.99")
        found = probes(small, unknown, elsewhere, *[lost] * 3, *[right] * 9).pod_loss

        assert found
        assert (found.sent, found.lost) == (12, 3)

    @pytest.mark.parametrize(
        ("name", "namespace", "left"), [("web", "shop", 2), ("dns", "kube-system", None)]
    )
    def test_a_pod_that_changed_meanwhile_leaves_the_queries_of_others(
        self, small: SmallCluster, name: str, namespace: str, left: int | None
    ) -> None:
        small.changes = [Change("Pod", name, namespace, what="deleted")]
        of_web = [sent("pod sample", each, inode=WEB_NETNS) for each in (LOST, LOST, RIGHT)]
        second = replica(small, "10.244.0.7")
        of_dns = [
            sent("pod sample", each, inode=DNS_NETNS, server=second) for each in (LOST, RIGHT)
        ]
        found = probes(small, *of_web, *of_dns).pod_loss

        assert (found.sent if found else None) == left


class TestAnsweredServers:
    """Other questions count only at servers that answered the usual one."""

    def external(self, small: SmallCluster, *usual: Probe) -> list[str]:
        outside = sent("external name", LOST, query="outside")
        dns = probes(small, outside, *usual)
        return [each.name for each, _ in dns.external_lookups]

    def test_the_last_try_of_the_usual_question_counts(self, small: SmallCluster) -> None:
        assert self.external(small, sent("", LOST, RIGHT)) == ["dns"]

    @pytest.mark.parametrize(
        "usual",
        [
            sent("", RIGHT, LOST),
            sent(""),
            sent("sample", RIGHT),
            sent("", RIGHT, transport="tcp"),
            sent("", RIGHT, server="10.244.0.99"),
            sent("", RIGHT, inode=WEB_NETNS),
        ],
        ids=["silent", "not sent", "another purpose", "TCP", "another server", "another netns"],
    )
    def test_a_server_without_such_an_answer_does_not_count(
        self, small: SmallCluster, usual: Probe
    ) -> None:
        with pytest.raises(NotApplicable, match="no server answered the usual question"):
            self.external(small, usual)

    def test_a_server_that_is_not_a_replica_is_left_out(self, small: SmallCluster) -> None:
        elsewhere = sent("external name", LOST, query="outside", server="10.244.0.99")
        dns = probes(small, elsewhere, sent("", RIGHT, server="10.244.0.99"))

        assert list(dns.external_lookups) == []


class TestPods:
    def lookups(self, small: SmallCluster, *every: Probe) -> list[tuple[str, str]]:
        found = probes(small, *every).pod_lookups("udp")
        return [(pod.name, str(lookup.server)) for pod, lookup in found]

    def test_each_pod_has_the_answers_of_its_own_netns(self, small: SmallCluster) -> None:
        of = {inode: sent("", RIGHT, inode=inode, server=SERVICE) for inode in (101, 102)}
        over_tcp = replace(of[101], transport="tcp")

        assert self.lookups(small, over_tcp, of[102], of[101], sent("", RIGHT)) == [
            ("dns", SERVICE),
            ("web", SERVICE),
        ]

    def test_pods_without_a_query_are_an_error_at_the_end(self, small: SmallCluster) -> None:
        found = probes(small, sent("", RIGHT, inode=WEB_NETNS)).pod_lookups("udp")

        assert next(iter(found))[0].name == "web"
        with pytest.raises(FactMissingError, match="from 1 pod, such as kube-system/dns"):
            list(found)


class TestTheNode:
    def test_only_its_own_queries_to_the_services_count(self, small: SmallCluster) -> None:
        own, at_replica = sent("", RIGHT, server=SERVICE), sent("", RIGHT)
        dns = probes(small, replace(own, inode=WEB_NETNS), own, at_replica)

        assert [str(each.server) for each in dns.service_lookups] == [SERVICE]
        assert [pod.name for pod, _ in dns.replica_lookups] == ["dns"]
        assert list(dns.name_lookups) == []

    def test_without_a_dns_service_or_replica_there_is_nothing_to_ask(
        self, small: SmallCluster
    ) -> None:
        small.api["pods"] = small.api["pods"][1:]
        small.api["services"] = small.api["services"][:1]
        small.api["endpointSlices"] = []
        dns = probes(small, sent("", RIGHT))

        with pytest.raises(NotApplicable, match="no usual DNS Service"):
            list(dns.service_lookups)
        with pytest.raises(NotApplicable, match="no DNS replica"):
            list(dns.replica_lookups)
        with pytest.raises(NotApplicable, match="no DNS replica"):
            list(dns.name_lookups)


class TestTimes:
    def test_answers_over_udp_count_by_their_last_try(self, small: SmallCluster) -> None:
        slow = replace(RIGHT, seconds=0.5)
        dns = probes(
            small,
            sent("", LOST, RIGHT),
            sent("sample", slow),
            sent("", slow, LOST),
            sent("", slow, transport="tcp"),
            sent("external name", slow, query="outside"),
            sent("own server", slow),
            sent(""),
        )

        assert dns.answer_times
        assert dns.answer_times.milliseconds == (10.0, 500.0)

    def test_without_an_answer_there_are_no_times(self, small: SmallCluster) -> None:
        assert probes(small, sent("", LOST)).answer_times is None
        with pytest.raises(FactMissingError, match="No DNS query was sent"):
            _ = probes(small).answer_times
