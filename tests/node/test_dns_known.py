"""What one node shows of the cluster's DNS: servers, domain, files of its pods."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.checks.small_cluster import (
    HOST,
    KUBERNETES,
    WEB_NETNS,
    SmallCluster,
    answer,
    link,
)
from wirecheck.addresses import address
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.dns_known import DnsKnown
from wirecheck.snapshot.attempts import Probe, Try
from wirecheck.snapshot.netns import Address
from wirecheck.snapshot.node_document import PodFile
from wirecheck.snapshot.node_settings import Kubelet

RIGHT, WRONG = (Try(0.01, answer=answer(KUBERNETES, each)) for each in ("10.96.0.1", "192.0.2.6"))
LOST = Try(2.5, error="timeout")
ELSEWHERE = "192.0.2.53"


def known(small: SmallCluster) -> DnsKnown:
    node = small.node
    return DnsKnown(node.seen, node.namespaces)


def sent(purpose: str, *tries: Try, server: str = ELSEWHERE, **fields: Any) -> Probe:
    query = fields.pop("query", "kubernetes")
    return Probe(HOST, query, server, 53, "udp", list(tries), purpose, **fields)


def hand_out(small: SmallCluster, *servers: str) -> None:
    small.change_document(kubelet=Kubelet({"cluster-dns": ",".join(servers)}))


def bind(small: SmallCluster, device: str, where: str) -> None:
    assert small.document
    host = small.document.namespaces[0]
    small.change_netns(
        HOST,
        links=[*host.links, link(90, device, "dummy")],
        addresses=[*host.addresses, Address(90, where, 32)],
    )


class TestServers:
    @pytest.mark.parametrize(
        ("probe", "is_answering"),
        [
            (sent("own server", RIGHT), True),
            (sent("local cache", RIGHT), True),
            (sent("own server", LOST, RIGHT), True),
            (sent("own server", WRONG), False),
            (sent("own server", LOST), False),
            (sent("own server"), False),
            (sent("own server", RIGHT, query="gone"), False),
            (sent("", RIGHT), False),
            (sent("external name", RIGHT), False),
        ],
    )
    def test_further_servers_count_if_they_gave_the_correct_answer(
        self, small: SmallCluster, probe: Probe, is_answering: bool
    ) -> None:
        small.change_document(probes=[probe, sent("own server")])

        expected = {address(ELSEWHERE)} if is_answering else set()
        assert known(small).servers.answering == expected

    @pytest.mark.parametrize(
        ("device", "is_bound", "is_cache"),
        [("nodelocaldns", True, True), ("dummy0", True, False), ("kube-ipvs0", False, False)],
    )
    def test_addresses_of_the_node_are_known_without_those_of_proxies(
        self, small: SmallCluster, device: str, is_bound: bool, is_cache: bool
    ) -> None:
        bind(small, device, "10.0.0.53")
        servers = known(small).servers

        assert (address("10.0.0.53") in servers.bound) is is_bound
        assert (address("10.0.0.53") in servers.caches) is is_cache
        assert address("169.254.20.10") in servers.caches
        assert address("192.0.2.1") in servers.bound


class TestDomain:
    def serve(self, small: SmallCluster, domain: str) -> None:
        text = f".:53 {{\n    kubernetes {domain} in-addr.arpa ip6.arpa\n}}\n"
        meta = {"name": "coredns", "namespace": "kube-system"}
        small.api["configMaps"] = [{"metadata": meta, "data": {"Corefile": text}}]

    def test_answers_and_search_paths_count_without_a_corefile(self, small: SmallCluster) -> None:
        found = known(small).domain

        assert (found.served, found.kubelet) == ((), "cluster.local")
        assert (found.answered, found.searched) == ({"cluster.local"}, {"cluster.local"})

    def test_a_corefile_makes_them_needless(self, small: SmallCluster) -> None:
        self.serve(small, "prod.name")
        found = known(small).domain

        assert (found.served, found.answered, found.searched) == (("prod.name",), set(), set())

    def test_only_pods_with_the_clusters_resolv_conf_show_the_search_path(
        self, small: SmallCluster
    ) -> None:
        for pod in small.api["pods"]:
            pod["spec"]["dnsPolicy"] = "Default"

        assert known(small).domain.searched == set()


class TestResolvers:
    def names(self, small: SmallCluster) -> list[str]:
        return [pod.name for pod, _ in known(small).resolvers]

    def refuse(self, small: SmallCluster) -> None:
        assert small.document
        pods = [
            replace(each, resolv_conf=PodFile(refused="no")) if each.inode == WEB_NETNS else each
            for each in small.document.pods
        ]
        small.change_document(pods=pods)

    def test_each_running_pod_has_its_file(self, small: SmallCluster) -> None:
        assert self.names(small) == ["dns", "web"]
        small.api["pods"][0]["status"]["phase"] = "Succeeded"
        assert self.names(small) == ["web"]

    def test_a_file_that_was_not_read_is_an_error_at_the_end(self, small: SmallCluster) -> None:
        self.refuse(small)
        found = iter(known(small).resolvers)

        assert next(found)[0].name == "dns"
        with pytest.raises(FactMissingError, match="of 1 pod could not be read; shop/web: no"):
            next(found)

    def test_without_pods_there_is_no_file(self, small: SmallCluster) -> None:
        for pod in small.api["pods"]:
            pod["status"]["phase"] = "Succeeded"

        with pytest.raises(NotApplicable):
            self.names(small)


class TestWhetherTheServicesAreUsed:
    def reason(self, small: SmallCluster, *, has_replicas: bool = False) -> str:
        if not has_replicas:
            small.api["pods"] = small.api["pods"][1:]
            small.api["endpointSlices"] = []
        return known(small).why_services_unused

    def test_another_server_of_the_kubelet_takes_their_place(self, small: SmallCluster) -> None:
        hand_out(small, "169.254.169.254")
        assert self.reason(small, has_replicas=True) == ""
        assert self.reason(small) == "the kubelet gives pods the server 169.254.169.254"

    def test_the_services_themselves_are_used(self, small: SmallCluster) -> None:
        hand_out(small, "10.96.0.10", "169.254.169.254")

        assert self.reason(small) == ""

    def test_a_cache_of_the_node_may_ask_the_services(self, small: SmallCluster) -> None:
        bind(small, "nodelocaldns", "169.254.20.10")
        hand_out(small, "169.254.20.10")

        assert self.reason(small) == ""


def test_a_query_without_its_question_is_an_error(small: SmallCluster) -> None:
    assert known(small).question("kubernetes") == KUBERNETES
    with pytest.raises(FactMissingError, match="no question for query 'gone'"):
        known(small).question("gone")
