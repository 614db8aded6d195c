"""The cause first, its symptoms beneath."""

from fnmatch import fnmatchcase

import pytest
from msgspec.structs import replace

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


UDP = "dns.pods_resolve_udp"


def tried(check: str, source: str) -> ItemResult:
    there = Object("Node", "n1", part=f"from {source} to Pod ops/a (n2) 10.0.0.1:80")
    return ItemResult(
        check, Outcome.FAIL, "n1", findings=[FindingRecord(there, Level.FAIL, "a", "b", check)]
    )


@pytest.mark.parametrize(
    ("cause", "place"),
    [("pods.ip_on_interface", "n1"), ("pods.unique_ips", ""), ("links.up", "n1")],
)
def test_what_was_tried_from_a_pod_at_fault_does_not_get_there(cause: str, place: str):
    check = "reachability.pod_to_pod"

    assert symptoms([red(cause, place), tried(check, "shop/web")]) == {
        (check, "n1"): (cause, place)
    }
    assert not symptoms([red(cause, place), tried(check, "shop/other")])


def test_a_pod_without_its_address_has_no_dns():
    items = [red("pods.ip_on_interface"), red(UDP)]

    assert symptoms(items) == {(UDP, "n1"): ("pods.ip_on_interface", "n1")}


def test_a_failure_about_more_pods_than_the_cause_is_listed_itself():
    assert not symptoms([red("pods.ip_on_interface"), red(UDP, "n1", "web", "api")])


def test_another_node_is_another_matter():
    assert not symptoms([red("services.rules_reachable", "n2", kind="Node"), red(UDP)])


def test_of_a_chain_of_causes_the_first_counts():
    items = [
        red("services.no_stale_backends", kind="Service"),
        red("kube_proxy.healthz", kind="Node"),
        red("services.backends_programmed", kind="Service"),
        red("services.nodes_agree", "", kind="Service"),
    ]
    cause = ("kube_proxy.healthz", "n1")

    assert set(symptoms(items).values()) == {cause}
    assert cause not in symptoms(items)


@pytest.mark.parametrize(("name", "count"), [("kube-dns", 1), ("web", 0)])
def test_a_missing_frontend_explains_dns_only_where_it_is_that_of_dns(name, count):
    items = [red("services.frontends_programmed", "n1", name, kind="Service"), red(UDP)]

    assert len(symptoms(items)) == count


def test_what_holds_causes_nothing():
    healthy = ItemResult("services.rules_reachable", Outcome.PASS, "n1")

    assert not symptoms([healthy, red(UDP)])


def test_on_the_recorded_cluster_symptoms_are_under_their_causes():
    found = symptoms(evaluate(Snapshot.open(RECORDED / "broken"), load()))

    cause = "pods.ip_on_interface"

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
        ("cni.single_config", "nodes.ready"),
        ("nodes.network_ready", "nodes.ready"),
    ],
)
def test_a_node_without_a_network_is_not_ready(cause, symptom):
    items = [red(cause, kind="Node"), red(symptom, kind="Node")]

    assert symptoms(items) == {(symptom, "n1"): (cause, "n1")}


@pytest.mark.parametrize(
    ("cause", "symptom"),
    [
        ("services.rules_reachable", "reachability.api_server"),
        ("services.rules_reachable", "reachability.service_same_node"),
        (
            "services.masquerade",
            "reachability.service_same_node",
        ),
        (
            "services.masquerade",
            "reachability.service_hairpin",
        ),
    ],
)
def test_without_the_rules_of_services_none_is_led_back_to_its_own_node(cause, symptom):
    items = [red(cause, kind="Node"), red(symptom, kind="Node")]

    assert symptoms(items) == {(symptom, "n1"): (cause, "n1")}
    assert not symptoms([red(cause, "n2", kind="Node"), red(symptom, kind="Node")])


@pytest.mark.parametrize(
    "symptom",
    [
        *("dns.nodes_resolve", "dns.pods_resolve_tcp", "dns.pods_resolve_udp"),
        *("reachability.api_server", "reachability.host_ports"),
    ],
)
def test_without_programs_at_sockets_neither_the_node_nor_its_pods_reach_services(symptom):
    """As on a real node of Cilium without its program for connect(2)."""
    cause = "ebpf.socket_programs"
    items = [red(cause, kind="Node"), red(symptom, kind="Node")]

    assert symptoms(items) == {(symptom, "n1"): (cause, "n1")}
    assert not symptoms([red(cause, "n2", kind="Node"), red(symptom, kind="Node")])


@pytest.mark.parametrize(
    ("cause", "symptom"),
    [
        ("nodes.ip_forward", "reachability.node_ports"),
        ("firewall.forwards_pods", "reachability.host_ports"),
        ("services.rules_reachable", "reachability.node_ports"),
        (
            "services.not_shadowed",
            "reachability.local_node_ports",
        ),
        ("cni.host_ports_mapped", "reachability.host_ports"),
        (
            "kube_proxy.healthz",
            "reachability.health_check_node_ports",
        ),
    ],
)
def test_ports_of_a_node_are_missed_from_other_nodes(cause, symptom):
    items = [red(cause, "n2", kind="Node"), red(symptom, kind="Node")]

    assert symptoms(items) == {(symptom, "n1"): (cause, "n2")}


def error(check: str, reason: str) -> ItemResult:
    return ItemResult(check, Outcome.ERROR, "n1", reason=reason)


def test_what_could_not_be_read_explains_only_the_same_sentence():
    cause = error("pods.have_netns", "no pod can be mapped")
    items = [
        cause,
        error("links.up", "no pod can be mapped"),
        error("services.masquerade", "the rules were not read"),
        red("links.attached"),
    ]

    assert symptoms(items) == {("links.up", "n1"): ("pods.have_netns", "n1")}


def test_a_cause_on_the_same_node_comes_first():
    items = [red("overlay.mtu", "n1", kind="Node"), red("overlay.mtu", "n2", kind="Node")]
    symptom = red("reachability.large_payloads", "n2", kind="Node")

    assert symptoms([*items, symptom]) == {(symptom.check, "n2"): ("overlay.mtu", "n2")}
    assert symptoms([items[0], symptom]) == {(symptom.check, "n2"): ("overlay.mtu", "n1")}


def test_a_warning_is_no_cause_of_a_failure():
    warned = [FindingRecord(Object("Node", "n1"), Level.WARN, "at most 80 %", "85 %", "conntrack")]
    cause = ItemResult("conntrack.table_usage", Outcome.WARN, "n1", findings=warned)

    assert not symptoms([cause, red(UDP)])
    assert symptoms([red("conntrack.table_usage", kind="Node"), red(UDP)])


def test_the_selector_of_the_dns_service_explains_dns_on_every_node():
    cause = red("endpoints.selector_matches", "", "kube-dns", kind="Service")
    items = [cause, red("dns.replicas_ready", "", "dns", kind="Service"), red(UDP, "n2")]

    assert set(symptoms(items).values()) == {("endpoints.selector_matches", "")}


def test_what_failed_in_some_rounds_follows_from_a_cause_and_explains_only_its_like():
    flaky = replace(red(UDP), outcome=Outcome.FLAKY)
    cause = red("pods.ip_on_interface")

    assert symptoms([cause, flaky]) == {(UDP, "n1"): ("pods.ip_on_interface", "n1")}
    flaky_cause = replace(cause, outcome=Outcome.FLAKY)
    assert symptoms([flaky_cause, flaky])
    assert not symptoms([flaky_cause, red(UDP)])


class TestPoliciesWithoutEffect:
    """A check about the cluster whose findings are about nodes."""

    @staticmethod
    def unenforced(*nodes: str) -> ItemResult:
        return red("policy.enforced", "", *nodes, kind="Node")

    def test_follows_from_a_cause_on_those_nodes(self):
        cause = red("firewall.policy_chains")
        found = symptoms([cause, self.unenforced("n1")])
        assert found == {("policy.enforced", ""): ("firewall.policy_chains", "n1")}

    @pytest.mark.parametrize("nodes", [("n2",), ("n1", "n2")])
    def test_does_not_follow_from_a_cause_on_other_nodes(self, nodes):
        assert not symptoms([red("firewall.policy_chains"), self.unenforced(*nodes)])

    def test_explains_open_pods_of_those_nodes(self):
        items = [self.unenforced("n1"), *(red("policy.denied_traffic", n) for n in ("n1", "n2"))]
        cause = ("policy.enforced", "")
        assert symptoms(items) == {("policy.denied_traffic", "n1"): cause}

    def test_an_agent_that_does_not_follow_is_the_cause_of_all(self):
        checks = ("firewall.policy_chains", "policy.denied_traffic", "policy.allowed_traffic")
        cause = red("policy.enforcer_in_sync", kind="Node")
        found = symptoms([cause, *map(red, checks), self.unenforced("n1")])
        assert set(found.values()) == {("policy.enforcer_in_sync", "n1")}
        assert len(found) == 4
        hanging = symptoms([red("cni.agent_responds"), cause, *map(red, checks)])
        assert set(hanging.values()) == {("cni.agent_responds", "n1")}

    def test_audit_mode_is_the_cause_of_what_is_open(self):
        cause = red("policy.audit_mode_off")
        open_ = (red("policy.denied_traffic"), red("policy.denied_traffic", "n2"))
        found = symptoms([cause, *open_, self.unenforced("n1")])
        assert found == dict.fromkeys(
            [("policy.denied_traffic", "n1"), ("policy.enforced", "")],
            ("policy.audit_mode_off", "n1"),
        )


def test_a_pod_that_is_closed_gets_no_answers():
    cause = red("policy.allowed_traffic")
    found = symptoms([cause, red(UDP), red("dns.pods_resolve_tcp", "n1", "db")])
    assert found == {(UDP, "n1"): ("policy.allowed_traffic", "n1")}


def test_a_device_without_a_program_is_why_its_pod_may_send_everything():
    items = [red("links.attached"), red("policy.denied_traffic")]
    assert symptoms(items) == {("policy.denied_traffic", "n1"): ("links.attached", "n1")}
