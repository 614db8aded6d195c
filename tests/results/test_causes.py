"""The cause first, its symptoms beneath."""

from fnmatch import fnmatchcase

import pytest

from testbed.record import RECORDED
from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.catalogue.registry import load
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.results.causes import RULES, symptoms
from wirecheck.results.records import FindingRecord, ItemResult, Object
from wirecheck.snapshot.folder import Snapshot


def red(check: str, node: str = "n1", *names: str, kind: str = "Pod") -> ItemResult:
    findings = [
        FindingRecord(Object(kind, name, "shop"), Level.FAIL, "this", "that", f"{check}/{name}")
        for name in names or ("web",)
    ]
    return ItemResult(check, Outcome.FAIL, node, findings=findings)


UDP = "dns.answers_every_pod_over_udp"


def tried(check: str, source: str) -> ItemResult:
    there = Object("Node", "n1", part=f"from {source} to Pod ops/a (n2) 10.0.0.1:80")
    return ItemResult(
        check, Outcome.FAIL, "n1", findings=[FindingRecord(there, Level.FAIL, "a", "b", check)]
    )


@pytest.mark.parametrize(
    ("cause", "place"),
    [("pods.carry_their_addresses", "n1"), ("pods.share_no_address", ""), ("links.are_up", "n1")],
)
def test_what_was_tried_from_a_pod_at_fault_does_not_get_there(cause: str, place: str):
    check = "reachability.pods_reach_pods_of_other_nodes"

    assert symptoms([red(cause, place), tried(check, "shop/web")]) == {
        (check, "n1"): (cause, place)
    }
    assert not symptoms([red(cause, place), tried(check, "shop/other")])


def test_a_pod_without_its_address_has_no_dns():
    items = [red("pods.carry_their_addresses"), red(UDP)]

    assert symptoms(items) == {(UDP, "n1"): ("pods.carry_their_addresses", "n1")}


def test_a_pod_more_than_the_cause_has_is_told_for_itself():
    assert not symptoms([red("pods.carry_their_addresses"), red(UDP, "n1", "web", "api")])


def test_another_node_is_another_matter():
    assert not symptoms([red("services.rules_are_reached", "n2", kind="Node"), red(UDP)])


def test_of_a_chain_of_causes_the_first_counts():
    items = [
        red("services.backends_exist", kind="Service"),
        red("kube_proxy.says_that_it_is_healthy", kind="Node"),
        red("services.backends_are_programmed", kind="Service"),
        red("services.nodes_agree", "", kind="Service"),
    ]
    cause = ("kube_proxy.says_that_it_is_healthy", "n1")

    assert set(symptoms(items).values()) == {cause}
    assert cause not in symptoms(items)


@pytest.mark.parametrize(("name", "count"), [("kube-dns", 1), ("web", 0)])
def test_a_missing_frontend_explains_dns_only_where_it_is_that_of_dns(name, count):
    items = [red("services.frontends_are_programmed", "n1", name, kind="Service"), red(UDP)]

    assert len(symptoms(items)) == count


def test_what_holds_causes_nothing():
    healthy = ItemResult("services.rules_are_reached", Outcome.PASS, "n1")

    assert not symptoms([healthy, red(UDP)])


def test_on_the_recorded_cluster_symptoms_are_under_their_causes():
    found = symptoms(evaluate(Snapshot.open(RECORDED / "broken"), load()))

    cause = "pods.carry_their_addresses"

    assert [found[place][0] for place in found if place[0] == UDP] == [cause]
    assert cause not in {check for check, _ in found}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.cause)
def test_rules_name_checks_that_exist(rule):
    names = [check.id for check in load()]
    for pattern in (rule.cause, *rule.symptoms):
        assert any(fnmatchcase(name, pattern) for name in names), pattern


@pytest.mark.parametrize(
    ("cause", "symptom"),
    [
        ("cni.has_one_configuration", "nodes.ready"),
        ("nodes.have_a_network_for_pods", "nodes.ready"),
    ],
)
def test_a_node_without_a_network_is_not_ready(cause, symptom):
    items = [red(cause, kind="Node"), red(symptom, kind="Node")]

    assert symptoms(items) == {(symptom, "n1"): (cause, "n1")}


@pytest.mark.parametrize(
    ("cause", "symptom"),
    [
        ("services.rules_are_reached", "reachability.the_api_server_is_reached"),
        ("services.rules_are_reached", "reachability.services_reach_pods_of_the_same_node"),
        (
            "services.sources_are_masqueraded",
            "reachability.services_reach_pods_of_the_same_node",
        ),
        (
            "services.sources_are_masqueraded",
            "reachability.pods_reach_themselves_through_services",
        ),
    ],
)
def test_without_the_rules_of_services_none_is_led_back_to_its_own_node(cause, symptom):
    items = [red(cause, kind="Node"), red(symptom, kind="Node")]

    assert symptoms(items) == {(symptom, "n1"): (cause, "n1")}
    assert not symptoms([red(cause, "n2", kind="Node"), red(symptom, kind="Node")])


@pytest.mark.parametrize(
    ("cause", "symptom"),
    [
        ("nodes.forward_packets", "reachability.node_ports_answer"),
        ("firewall.lets_pods_through", "reachability.host_ports_answer"),
        ("services.rules_are_reached", "reachability.node_ports_answer"),
        (
            "services.frontends_are_not_shadowed",
            "reachability.local_node_ports_answer_nowhere_else",
        ),
        ("cni.host_ports_lead_to_their_pods", "reachability.host_ports_answer"),
        (
            "kube_proxy.says_that_it_is_healthy",
            "reachability.health_checks_tell_where_endpoints_are",
        ),
    ],
)
def test_ports_of_a_node_are_missed_from_other_nodes(cause, symptom):
    items = [red(cause, "n2", kind="Node"), red(symptom, kind="Node")]

    assert symptoms(items) == {(symptom, "n1"): (cause, "n2")}
