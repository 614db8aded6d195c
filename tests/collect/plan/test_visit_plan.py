from __future__ import annotations

import base64
import hashlib
from collections import Counter
from typing import Any

import dns.message
import dns.rdatatype
import msgspec

from tests.checks import small_cluster
from wirecheck.collect.node_program import LONGEST, command_line
from wirecheck.collect.on_node.rule_blocks import DIGITS
from wirecheck.collect.plan.dns import queries
from wirecheck.collect.plan.visit_plan import (
    MOST_KNOWN,
    BlockPlan,
    RoundOptions,
    plan_for,
    planner_of,
)
from wirecheck.snapshot.api_objects import ApiObjects


def api(nodes: int = 1, headless: int = 0, services: int = 0, replicas: int = 1) -> ApiObjects:
    described: dict[str, Any] = small_cluster.api()
    node, *_ = described["nodes"]
    described["nodes"] = [
        {**node, "metadata": {**node["metadata"], "name": f"n{i + 1}"}} for i in range(nodes)
    ]
    for i in range(headless):
        each = small_cluster.service(f"db-{i}", "shop", "None", [])
        each["spec"]["selector"] = {"app": "db"}
        described["services"].append(each)
    for i in range(services):
        described["services"].append(small_cluster.service(f"s-{i}", "shop", f"10.96.1.{i}", []))
    described["pods"] += [
        small_cluster.api_pod(f"dns{i}", "kube-system", f"10.244.1.{i}", **{"k8s-app": "kube-dns"})
        for i in range(1, replicas)
    ]
    return msgspec.convert(described, ApiObjects)


def asked(objects: ApiObjects, node: str = "n1") -> Counter[tuple[str, str, str]]:
    """(question, server, transport) of Services' names, as it would leave the node's own netns."""
    return asked_for(objects, "", node)


def asked_for(
    objects: ApiObjects, purpose: str, node: str = "n1", **options: Any
) -> Counter[tuple[str, str, str]]:
    """What is asked for a purpose, and how often."""
    plan = plan_for(objects, node, RoundOptions(**options))
    found: Counter[tuple[str, str, str]] = Counter()
    for each in plan.dns.node:
        if each.purpose == purpose:
            place = question(plan.dns.queries[each.query]), each.server, each.transport
            found[place] += each.times or 1
    return found


def question(wire: str) -> str:
    (rrset,) = dns.message.from_wire(base64.b64decode(wire)).question
    return f"{rrset.name.to_text(omit_final_dot=True)} {dns.rdatatype.to_text(rrset.rdtype)}"


KUBERNETES = "kubernetes.default.svc.cluster.local A"


def test_pods_ask_the_service_and_nothing_else() -> None:
    plan = plan_for(api(), "n1", RoundOptions())

    assert [
        (question(plan.dns.queries[each.query]), each.server, each.transport)
        for each in plan.dns.pods
    ] == [(KUBERNETES, "10.96.0.10", "udp"), (KUBERNETES, "10.96.0.10", "tcp")]


def test_a_node_asks_the_service_and_each_replica() -> None:
    found = asked(api(replicas=2))

    for server in ("10.96.0.10", "10.244.0.2", "10.244.1.1"):
        for transport in ("udp", "tcp"):
            assert found[KUBERNETES, server, transport] == 1


def test_headless_and_reverse_names_are_asked_at_the_replicas() -> None:
    found = asked(api(headless=1))

    assert found["db-0.shop.svc.cluster.local A", "10.244.0.2", "tcp"] == 1
    assert found["10.0.96.10.in-addr.arpa PTR", "10.244.0.2", "udp"] == 1
    assert {server for name, server, _ in found if name != KUBERNETES} == {"10.244.0.2"}


def test_nodes_share_the_names_and_cover_them_all() -> None:
    objects = api(nodes=30, headless=40, services=50)
    names = [{name for name, _, _ in asked(objects, f"n{i + 1}")} for i in range(30)]

    assert all(len(each) <= 13 for each in names)
    assert len(set.union(*names)) == 1 + 40 + 52
    assert names == [{name for name, _, _ in asked(objects, f"n{i + 1}")} for i in range(30)]


def test_every_query_of_a_plan_is_in_the_index() -> None:
    objects = api(nodes=5, headless=20, services=20)
    known = queries(objects)

    for node in ("n1", "n5"):
        for id_, wire in plan_for(objects, node, RoundOptions()).dns.queries.items():
            assert known[id_] == question(wire)


def test_a_query_keeps_its_id_when_the_cluster_grows() -> None:
    assert queries(api()).items() <= queries(api(headless=3)).items()


def test_replicas_on_every_node_are_not_asked_by_every_node() -> None:
    objects = api(nodes=200, services=50, replicas=200)

    assert len(asked(objects)) < 150
    planner = planner_of(objects, RoundOptions())
    asked_somewhere = {
        each.server
        for node in objects.nodes
        for each in planner.plan(node.metadata.name).dns.node
        if each.purpose == ""
    }
    assert len(asked_somewhere) == 201


def test_the_rate_is_the_clusters() -> None:
    options = RoundOptions(dns_rate=120, workers=6)

    assert plan_for(api(nodes=3), "n1", options).dns.rate == 40
    assert plan_for(api(nodes=100), "n1", options).dns.rate == 20


def test_the_program_ends_before_its_visit_does() -> None:
    for limit in (5.0, 30.0, 60.0, 300.0):
        assert plan_for(api(), "n1", RoundOptions(visit_limit=limit)).deadline < limit - 1


def test_an_ipv6_cluster_asks_for_ipv6() -> None:
    described = small_cluster.api()
    for each in described["services"]:
        each["spec"]["clusterIP"] = each["spec"]["clusterIP"].replace("10.96.0.", "FD00:96::00")
        each["spec"]["clusterIPs"] = [each["spec"]["clusterIP"]]
    plan = plan_for(msgspec.convert(described, ApiObjects), "n1", RoundOptions())

    assert plan.dns.addresses == ["fd00:96::10"]
    assert question(plan.dns.queries[plan.dns.pods[0].query]).endswith(" AAAA")


def test_without_dns_nothing_is_asked() -> None:
    objects = msgspec.structs.replace(api(), services=[])

    plan = plan_for(objects, "n1", RoundOptions())

    assert (plan.dns.pods, plan.dns.node) == ([], [])


def test_the_largest_plan_takes_little_of_a_command_line() -> None:
    objects = api(nodes=200, headless=200, services=200, replicas=200)

    line = command_line(plan_for(objects, "n7", RoundOptions()).encoded())

    assert len(line) - len(command_line(b"{}")) < LONGEST / 40


def test_blocks_that_are_stored_are_named_those_first_that_documents_named_last() -> None:
    digests = [f"{number:064x}" for number in range(MOST_KNOWN + 1)]
    planner = planner_of(api(nodes=200, headless=200, services=200, replicas=200), RoundOptions())

    plan = planner.plan("n7", digests)

    assert plan.blocks is not None
    assert plan.blocks.known == tuple(each[:DIGITS] for each in digests[1:])
    assert planner.plan("n7").blocks == BlockPlan()
    told = [hashlib.sha256(each.encode()).hexdigest() for each in digests]
    assert len(command_line(planner.plan("n7", told).encoded())) < LONGEST * 0.75


def test_external_names_are_in_the_index_too() -> None:
    options = RoundOptions(external_names=("www.example.test",))
    plan = plan_for(api(), "n1", options)

    assert plan.dns.queries.keys() <= queries(api(), options.external_names).keys()


def test_single_queries_are_spread_over_replicas() -> None:
    found = asked_for(api(replicas=2), "sample")

    assert found == {
        (KUBERNETES, "10.244.0.2", "udp"): 20,
        (KUBERNETES, "10.244.1.1", "udp"): 20,
    }


def test_large_clusters_send_fewer_single_queries_from_each_node() -> None:
    counts = [sum(asked_for(api(nodes=n), "sample").values()) for n in (1, 100, 200, 1000)]

    assert counts == [40, 40, 20, 8]


def test_what_is_asked_further_is_bounded() -> None:
    objects = api(nodes=3, replicas=200)
    plan = plan_for(objects, "n1", RoundOptions(external_names=("www.example.test",)))

    assert sum(each.times or 1 for each in plan.dns.node if each.purpose) <= 40 + 4 * 4


def test_both_families_are_asked_by_one_socket_at_the_service() -> None:
    plan = plan_for(api(), "n1", RoundOptions())
    (pair,) = plan.dns.pairs

    kinds = [question(plan.dns.queries[each]) for each in (pair.query, pair.second)]
    assert kinds == [KUBERNETES, f"{KUBERNETES}AAA"]
    assert (pair.server, pair.transport) == ("10.96.0.10", "udp")
    assert len(plan.dns.pair_sources) == 2  # not the pod on the host's network


def test_a_few_pods_ask_the_pairs() -> None:
    plan = plan_for(api(replicas=30), "n1", RoundOptions())

    assert len(plan.dns.pair_sources) == 4


def test_an_unknown_name_is_asked_at_the_replicas() -> None:
    assert asked_for(api(), "unknown name") == {
        ("no-such-service.default.svc.cluster.local A", "10.244.0.2", "udp"): 1
    }


def wide(addresses: int) -> ApiObjects:
    described = small_cluster.api()
    service = small_cluster.service("wide", "shop", "None", [])
    service["spec"]["selector"] = {"app": "wide"}
    described["services"].append(service)
    labels = {"kubernetes.io/service-name": "wide"}
    described["endpointSlices"].append(
        {
            "metadata": {"name": "wide-1", "namespace": "shop", "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [f"10.244.9.{i}"]} for i in range(1, addresses + 1)],
        }
    )
    return msgspec.convert(described, ApiObjects)


def test_the_largest_headless_name_is_asked_without_edns() -> None:
    plan = plan_for(wide(40), "n1", RoundOptions())
    large = [each for each in plan.dns.node if each.purpose == "large answer"]

    assert {each.transport for each in large} == {"udp", "tcp"}
    message = dns.message.from_wire(base64.b64decode(plan.dns.queries[large[0].query]))
    assert message.question[0].name.to_text() == "wide.shop.svc.cluster.local."
    assert message.edns == -1
    assert queries(wide(40))[large[0].query] == "wide.shop.svc.cluster.local A"


def test_a_name_whose_answer_fits_is_no_large_one() -> None:
    assert not asked_for(wide(20), "large answer")


def test_names_outside_the_cluster_are_asked_only_where_they_are_named() -> None:
    assert not asked_for(api(), "external name")

    found = asked_for(api(), "external name", external_names=("www.example.test",))
    assert found == {("www.example.test A", "10.244.0.2", "udp"): 1}


def test_single_queries_of_pods_are_bounded_and_spread() -> None:
    plan = plan_for(api(replicas=3), "n1", RoundOptions())

    assert plan.dns.pod_samples
    assert plan.dns.pod_samples.count == 100
    assert plan.dns.pod_samples.sources == [small_cluster.WEB]  # neither replicas nor flannel
    assert {(each.server, each.purpose) for each in plan.dns.pod_samples.asks} == {
        (address, "pod sample") for address in ("10.244.0.2", "10.244.1.1", "10.244.1.2")
    }


def test_many_nodes_send_fewer_single_queries_from_pods() -> None:
    counts = [
        each.count
        for nodes in (1, 100, 101, 1000)
        for each in [plan_for(api(nodes=nodes), "n1", RoundOptions()).dns.pod_samples]
        if each
    ]

    assert counts == [100, 100, 64, 64]


def pods_of(described: dict[str, Any], count: int) -> ApiObjects:
    described["pods"] += [
        small_cluster.api_pod(f"p{i}", "shop", f"10.244.2.{i}", app="p") for i in range(1, count)
    ]
    return msgspec.convert(described, ApiObjects)


def test_many_pods_take_turns_and_those_behind_a_policy_are_left_out() -> None:
    described = small_cluster.api()
    described["networkPolicies"] = [
        {
            "metadata": {"name": "deny", "namespace": "shop"},
            "spec": {"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"]},
        }
    ]
    samples = plan_for(pods_of(described, 120), "n1", RoundOptions()).dns.pod_samples

    assert samples
    assert len(samples.sources) == len(set(samples.sources)) == 50
    assert small_cluster.WEB not in samples.sources


def test_without_other_pods_or_replicas_no_pod_sends_single_queries() -> None:
    for pods in (slice(0, 1), slice(1, None)):
        described = small_cluster.api()
        described["pods"] = described["pods"][pods]
        objects = msgspec.convert(described, ApiObjects)
        assert plan_for(objects, "n1", RoundOptions()).dns.pod_samples is None


def test_only_one_family_of_the_replicas_is_sampled() -> None:
    described = small_cluster.api()
    described["pods"][0]["status"]["podIPs"] = [{"ip": "10.244.0.2"}, {"ip": "fd00::2"}]
    plan = plan_for(msgspec.convert(described, ApiObjects), "n1", RoundOptions())

    assert plan.dns.pod_samples
    assert [each.server for each in plan.dns.pod_samples.asks] == ["10.244.0.2"]


def test_servers_of_the_node_are_asked_the_usual_question() -> None:
    plan = plan_for(api(), "n1", RoundOptions())

    assert [(each.server, each.purpose, each.transport) for each in plan.dns.own_servers] == [
        ("", "own server", "udp"),
        ("", "own server", "tcp"),
    ]
    assert {question(plan.dns.queries[each.query]) for each in plan.dns.own_servers} == {KUBERNETES}


def test_the_domain_of_a_mounted_corefile_is_asked_in() -> None:
    described = small_cluster.api()
    text = ".:53 {\n    kubernetes prod.name cluster.local in-addr.arpa\n}\n"
    meta = {"name": "rke2-coredns-rke2-coredns", "namespace": "kube-system"}
    described["configMaps"] = [{"metadata": meta, "data": {"Corefile": text}}]
    plan = plan_for(msgspec.convert(described, ApiObjects), "n1", RoundOptions())

    asked_in = {question(wire) for wire in plan.dns.queries.values()}
    assert "kubernetes.default.svc.prod.name A" in asked_in
    assert not any("cluster.local" in each for each in asked_in)
