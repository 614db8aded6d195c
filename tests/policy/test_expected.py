"""What policies mean for connections between pods, by the words of the Kubernetes API."""

from __future__ import annotations

import pytest

from tests.policy.small_policies import PODS, answer, api, decision, pod, policy

ALLOWED, DENIED, INCONCLUSIVE = "allowed", "denied", "inconclusive"
DB = "{matchLabels: {app: db}}"
IN_OPS = "namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}"


def from_web(text: str, source: str = "shop/web", target: str = "shop/db", **more) -> str:
    """How a connection from one pod to another ends under one policy of namespace shop."""
    return decision(api(policy(text)), source, target, **more)


def test_a_pod_that_no_policy_selects_is_open():
    assert decision(api(), "ops/web", "shop/db") == ALLOWED
    assert from_web("podSelector: {matchLabels: {app: web}}") == ALLOWED


@pytest.mark.parametrize(
    ("spec", "into", "out_of"),
    [
        ("", DENIED, ALLOWED),
        ("policyTypes: [Ingress]", DENIED, ALLOWED),
        ("policyTypes: [Egress]", ALLOWED, DENIED),
        ("policyTypes: [Ingress, Egress]", DENIED, DENIED),
        ("ingress: []", DENIED, ALLOWED),
        ("ingress: [{}]", ALLOWED, ALLOWED),
        ("ingress: [{from: []}]", ALLOWED, ALLOWED),
        ("ingress: [{ports: []}]", ALLOWED, ALLOWED),
        ("{policyTypes: [Egress], egress: [{}]}", ALLOWED, ALLOWED),
        ("{policyTypes: [Egress], egress: [{to: []}]}", ALLOWED, ALLOWED),
        ("{policyTypes: [Egress], ingress: [{}]}", ALLOWED, DENIED),
    ],
)
def test_isolation_is_by_direction_and_missing_lists_mean_everything(spec, into, out_of):
    assert from_web(spec, "ops/web", "shop/db") == into
    assert from_web(spec, "shop/db", "ops/web") == out_of


def test_a_policy_without_types_isolates_what_it_has_rules_for():
    without = policy("policyTypes: []")
    with_rule = policy("{policyTypes: [], egress: [{ports: [{port: 1}]}]}")

    assert decision(api(without), "shop/db", "ops/web") == ALLOWED
    assert decision(api(with_rule), "shop/db", "ops/web") == DENIED
    assert decision(api(with_rule), "ops/web", "shop/db") == DENIED


def test_policies_add_up_in_any_order():
    deny, allow = policy("", "deny"), policy("ingress: [{ports: [{port: 80}]}]", "allow")

    for policies in ((deny, allow), (allow, deny)):
        assert decision(api(*policies), "shop/web", "shop/db") == ALLOWED
        assert decision(api(*policies), "shop/web", "shop/db", port=81) == DENIED


def test_both_ends_must_allow_a_connection():
    ingress = policy("{podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 80}]}]}")
    egress = policy(
        "{policyTypes: [Egress], egress: [{ports: [{port: 80, endPort: 90}]}]}", "out", "ops"
    )

    assert decision(api(ingress, egress), "ops/web", "shop/db") == ALLOWED
    assert decision(api(ingress, egress), "ops/web", "shop/db", port=85) == DENIED
    assert decision(api(ingress), "ops/web", "shop/db", port=85) == DENIED
    assert decision(api(egress), "ops/web", "shop/db", port=85) == ALLOWED


@pytest.mark.parametrize(
    ("peer", "sources"),
    [
        ("podSelector: {}", {"shop/web"}),
        ("podSelector: {matchLabels: {app: web}}", {"shop/web"}),
        ("podSelector: {matchLabels: {app: job}}", set()),
        ("namespaceSelector: {}", {"shop/web", "ops/web", "ops/job"}),
        (IN_OPS, {"ops/web", "ops/job"}),
        (
            "{namespaceSelector: {}, podSelector: {matchLabels: {app: web}}}",
            {"shop/web", "ops/web"},
        ),
        (f"{{{IN_OPS}, podSelector: {{matchLabels: {{app: web}}}}}}", {"ops/web"}),
        ("podSelector: {matchExpressions: [{key: tier, operator: Exists}]}", {"shop/web"}),
        ("podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}]}", set()),
        (
            "podSelector: {matchExpressions: [{key: app, operator: In, values: [web, x]}]}",
            {"shop/web"},
        ),
        (
            "{namespaceSelector: {}, "
            "podSelector: {matchExpressions: [{key: tier, operator: NotIn, values: [front]}]}}",
            {"ops/job"},
        ),
    ],
)
def test_selectors_choose_the_peers(peer, sources):
    objects = api(policy(f"podSelector: {DB}\ningress:\n- from:\n  - {peer}\n"))

    others = ("shop/web", "ops/web", "ops/job")
    assert {e for e in others if decision(objects, e, "shop/db") == ALLOWED} == sources
    assert {e for e in others if decision(objects, e, "shop/db") == DENIED} == {*others} - sources


@pytest.mark.parametrize(
    ("ports", "allowed"),
    [
        ("[{port: 80}]", {("TCP", 80)}),
        ("[{port: 80, protocol: UDP}]", {("UDP", 80)}),
        ("[{protocol: SCTP}]", {("SCTP", 80), ("SCTP", 443), ("SCTP", 5432)}),
        ("[{port: 80, endPort: 443}]", {("TCP", 80), ("TCP", 443)}),
        ("[{port: 443, endPort: 443}]", {("TCP", 443)}),
        ("[{port: 81, endPort: 442}]", set()),
        ("[{port: 80}, {port: 443, protocol: UDP}]", {("TCP", 80), ("UDP", 443)}),
        ("[{port: http}]", {("TCP", 5432)}),
        ("[{port: http, protocol: UDP}]", set()),
        ("[{port: metrics}]", set()),
    ],
)
def test_rules_name_ports(ports, allowed):
    objects = api(policy(f"ingress: [{{ports: {ports}}}]"))

    found = {
        (protocol, port)
        for protocol in ("TCP", "UDP", "SCTP")
        for port in (80, 443, 5432)
        if decision(objects, "shop/web", "shop/db", port=port, protocol=protocol) == ALLOWED
    }
    assert found == allowed


def test_a_named_port_of_an_egress_rule_is_that_of_each_target():
    objects = api(policy("{policyTypes: [Egress], egress: [{ports: [{port: http}]}]}"))

    assert decision(objects, "shop/web", "shop/db", port=5432) == ALLOWED
    assert decision(objects, "shop/db", "shop/web", port=5432) == DENIED
    assert decision(objects, "shop/db", "shop/web", port=8080) == ALLOWED
    assert decision(objects, "shop/db", "ops/web", port=8080) == DENIED


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (
            {
                "containers": [
                    {"name": "a", "ports": [{"name": "http", "containerPort": 80}]},
                    {"name": "b", "ports": [{"name": "http", "containerPort": 81}]},
                ]
            },
            "several containers name a port http",
        ),
        (
            {
                "initContainers": [
                    {
                        "name": "a",
                        "restartPolicy": "Always",
                        "ports": [{"name": "http", "containerPort": 80}],
                    }
                ]
            },
            "only an init container names the port http",
        ),
    ],
)
def test_a_named_port_that_is_not_one_number_is_inconclusive(spec, reason):
    pods = [*PODS, pod("shop", "odd", "10.244.1.9", spec=spec)]
    objects = api(policy("ingress: [{ports: [{port: http}]}]"), pods=pods)

    found = answer(objects, "shop/web", "shop/odd")
    assert found.decision == INCONCLUSIVE
    assert found.reason.endswith(reason)
    assert decision(objects, "shop/web", "shop/odd", port=82) == DENIED


def test_ports_of_an_init_container_that_has_ended_do_not_count():
    init = {"name": "a", "ports": [{"name": "http", "containerPort": 80}]}
    pods = [*PODS, pod("shop", "odd", "10.244.1.9", spec={"initContainers": [init]})]
    objects = api(policy("ingress: [{ports: [{port: http}]}]"), pods=pods)

    assert decision(objects, "shop/web", "shop/odd") == DENIED


def test_whether_an_ip_block_covers_a_pod_is_undefined():
    objects = api(
        policy("ingress: [{from: [{ipBlock: {cidr: 10.244.0.0/16, except: [10.244.2.0/31]}}]}]")
    )

    found = answer(objects, "shop/web", "shop/db")
    assert found.decision == INCONCLUSIVE
    assert "does not define whether ipBlock 10.244.0.0/16 except 10.244.2.0/31" in found.reason
    assert decision(objects, "ops/web", "shop/db") == DENIED
    assert decision(objects, "ops/job", "shop/db") == INCONCLUSIVE


def test_what_one_end_denies_is_denied_whatever_is_undefined_at_the_other():
    into = policy("ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]")
    out_of = policy("policyTypes: [Egress]", "out", "ops")

    assert decision(api(into), "ops/web", "shop/db") == INCONCLUSIVE
    assert decision(api(into, out_of), "ops/web", "shop/db") == DENIED
    other_way = policy("{policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}")
    closed = policy("", "in", "ops")
    assert decision(api(other_way), "shop/db", "ops/web") == INCONCLUSIVE
    assert decision(api(other_way, closed), "shop/db", "ops/web") == DENIED


def test_a_pod_that_a_selector_matches_is_allowed_whatever_a_block_says():
    objects = api(policy("ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}, {podSelector: {}}]}]"))

    assert decision(objects, "shop/web", "shop/db") == ALLOWED


def test_the_host_network_is_undefined_as_far_as_not_every_peer_is_allowed():
    some = policy("ingress: [{from: [{namespaceSelector: {}}]}, {ports: [{port: 443}]}]")

    assert decision(api(), "ops/agent", "shop/db") == ALLOWED
    assert decision(api(some), "ops/agent", "shop/db", port=443) == ALLOWED
    assert decision(api(some), "ops/agent", "shop/db") == INCONCLUSIVE
    assert "host network" in answer(api(policy("")), "ops/agent", "shop/db").reason


def test_whether_a_policy_restricts_a_pod_on_the_host_network_is_undefined():
    selecting = policy("policyTypes: [Ingress, Egress]", namespace="ops")

    assert decision(api(selecting), "shop/db", "ops/agent") == INCONCLUSIVE
    assert decision(api(selecting), "ops/agent", "shop/db") == INCONCLUSIVE
    assert decision(api(selecting), "ops/job", "ops/agent") == INCONCLUSIVE


def test_other_protocols_are_undefined_where_a_policy_has_a_say():
    everything = policy("{policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}")

    assert decision(api(), "ops/web", "shop/db", protocol="ICMP", port=0) == ALLOWED
    assert decision(api(everything), "ops/web", "shop/db", protocol="ICMP") == INCONCLUSIVE
    assert decision(api(policy("")), "ops/web", "shop/db", protocol="ICMP") == INCONCLUSIVE


def test_a_pod_can_always_reach_itself():
    assert decision(api(policy("policyTypes: [Ingress, Egress]")), "shop/db", "shop/db") == ALLOWED


@pytest.mark.parametrize(
    "more",
    [
        {"phase": "Succeeded"},
        {"phase": "Pending"},
        {"metadata": {"deletionTimestamp": "2026-11-30T00:00:00Z"}},
        {"status": {"phase": "Running"}},
    ],
)
def test_a_pod_that_ends_or_has_no_address_is_not_a_peer(more):
    gone = pod("shop", "gone", "10.244.1.9", **more)
    gone["status"] = more.get("status", gone["status"])
    objects = api(pods=[*PODS, gone])

    assert decision(objects, "shop/gone", "shop/db") == INCONCLUSIVE
    assert decision(objects, "shop/db", "shop/gone") == INCONCLUSIVE


def test_labels_of_namespaces_that_are_not_known_are_inconclusive():
    objects = api(
        policy("ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]"),
    )

    assert "labels of namespace ops" in answer(objects, "ops/web", "shop/db").reason
    known = {"ops": {"team": "a"}, "shop": {}}
    assert decision(objects, "ops/web", "shop/db", namespaces=known) == ALLOWED
    assert decision(objects, "shop/web", "shop/db", namespaces=known) == DENIED


def test_labels_of_namespaces_are_those_of_the_api():
    text = "ingress: [{from: [{namespaceSelector: {matchLabels: {team: a}}}]}]"
    labels = {"ops": {"team": "a"}, "shop": {"team": "b"}}
    spaces = [{"metadata": {"name": name, "labels": each}} for name, each in labels.items()]
    objects = api(policy(text), namespaces=spaces)

    assert decision(objects, "ops/web", "shop/db") == ALLOWED
    assert decision(objects, "shop/web", "shop/db") == DENIED


OTHER = {
    "metadata": {"name": "other", "namespace": "shop"},
    "kind": "CiliumNetworkPolicy",
    "choices": [{"pods": {"matchLabels": {"app": "db"}}}],
}


def test_policies_of_other_kinds_leave_the_pods_that_they_select_inconclusive():
    blocking = {**OTHER, "directions": ["Ingress"]}
    objects = api(otherPolicies=[blocking])

    found = answer(objects, "shop/web", "shop/db")
    assert found.decision == INCONCLUSIVE
    assert found.reason.startswith("CiliumNetworkPolicy shop/other selects the pod")
    assert decision(objects, "shop/db", "shop/web") == ALLOWED
    assert decision(objects, "ops/web", "shop/web") == ALLOWED


def test_policies_of_other_kinds_that_only_allow_may_allow_what_is_denied():
    allowing = {**OTHER, "directions": []}
    half = policy("ingress: [{ports: [{port: 80}]}]")

    assert decision(api(otherPolicies=[allowing]), "ops/web", "shop/db") == ALLOWED
    objects = api(half, otherPolicies=[allowing])
    assert decision(objects, "ops/web", "shop/db") == ALLOWED
    assert decision(objects, "ops/web", "shop/db", port=81) == INCONCLUSIVE


def test_policies_that_could_not_be_read_leave_everything_inconclusive():
    objects = api(policyKinds={"CiliumNetworkPolicy": "unreadable"})

    assert decision(objects, "shop/web", "shop/db") == INCONCLUSIVE
    assert decision(api(), "shop/web", "shop/db", unread="policies of Calico's own kinds") == (
        INCONCLUSIVE
    )


def test_rules_that_were_not_read_are_inconclusive():
    """Older programs read how many egress rules a policy has, and nothing else of any rule."""
    ingress = api(policy(""), policyRulesRead=False)
    none = api(policy("policyTypes: [Egress]"), policyRulesRead=False)
    some = api(policy("{policyTypes: [Egress], egress: [{}]}"), policyRulesRead=False)

    assert decision(ingress, "ops/web", "shop/db") == INCONCLUSIVE
    assert decision(none, "shop/db", "ops/web") == DENIED
    assert decision(some, "shop/db", "ops/web") == INCONCLUSIVE


def test_a_policy_with_a_field_that_could_not_be_read_decides_nothing():
    odd = [{"kind": "NetworkPolicy", "namespace": "shop", "name": "some", "field": "", "found": ""}]
    objects = api(policy("podSelector: {matchLabels: {app: x}}"), undecodable=odd)

    for source, target in (("ops/web", "shop/db"), ("shop/db", "ops/web")):
        assert decision(objects, source, target) == INCONCLUSIVE
    assert decision(objects, "ops/web", "ops/job") == ALLOWED


@pytest.mark.parametrize(
    "rule",
    [
        "from: [{ipBlock: {cidr: 10.0.0.0/99}}]",
        "from: [{ipBlock: {cidr: 10.0.0.0/8, except: [nonsense]}}]",
        "from: [{}]",
        "from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]",
        "from: [{podSelector: {matchExpressions: [{key: app, operator: Like, values: [w]}]}}]",
        "ports: [{endPort: 90}]",
        "ports: [{port: 90, endPort: 80}]",
        "ports: [{port: 0}]",
        "ports: [{port: 70000}]",
        "ports: [{port: http, endPort: 90}]",
    ],
)
def test_a_rule_that_the_api_server_would_refuse_is_inconclusive(rule):
    assert from_web(f"ingress: [{{{rule}}}]") == INCONCLUSIVE


def test_a_selector_with_an_unknown_operator_may_select_the_pod():
    odd = "podSelector: {matchExpressions: [{key: app, operator: Like, values: [w]}]}"

    assert from_web(odd) == INCONCLUSIVE
    assert decision(api(policy(odd), policy("", "deny")), "shop/web", "shop/db") == DENIED


def test_a_policy_that_may_select_the_pod_may_allow_what_another_denies():
    selector = "podSelector: {matchExpressions: [{key: app, operator: Like, values: [w]}]}"
    odd = policy(f"{{{selector}, ingress: [{{ports: [{{port: 80}}]}}]}}")
    objects = api(odd, policy("", "deny"))

    assert decision(objects, "shop/web", "shop/db") == INCONCLUSIVE
    assert decision(objects, "shop/web", "shop/db", port=81) == DENIED


def test_the_answer_names_the_rule_that_decides():
    objects = api(
        policy("ingress: [{ports: [{port: 1}]}, {ports: [{port: 80}]}]", "in"),
        policy("{policyTypes: [Egress], egress: [{}]}", "out", "ops"),
    )

    allowed = answer(objects, "ops/web", "shop/db")
    assert allowed.reason == (
        "NetworkPolicy ops/out, egress rule 1; NetworkPolicy shop/in, ingress rule 2"
    )
    denied = answer(objects, "ops/web", "shop/db", port=81)
    assert denied.reason == (
        "no rule allows it; isolated by NetworkPolicy ops/out (egress), "
        "NetworkPolicy shop/in (ingress)"
    )
