"""Probes that policies deny: they have to fail where rules of the node enforce policies."""

from __future__ import annotations

import pytest

from tests.checks.test_policy import rules, with_rule_before
from tests.checks.test_policy_enforcers import no_agents, open_rules
from tests.policy_recordings import ROUTER, W1_AGENT, node_of
from wirecheck.catalogue.findings import CONCLUSIVE, Finding
from wirecheck.catalogue.registry import load

W1, W2 = "td-w1", "td-w2"
CHECKS = {each.id: each for each in load()}
UNKNOWN = "-A KUBE-ROUTER-FORWARD -m u32 --u32 0x0 -j DROP"


def decided(check, node):
    """The findings of a check, and how often it decided that all is well."""
    all_ = list(CHECKS[check].function(node))
    return [e for e in all_ if isinstance(e, Finding)], all_.count(CONCLUSIVE)


def no_egress_of(app):
    """The pods of an application in namespace ops may connect to nothing."""
    spec = {"podSelector": {"matchLabels": {"app": app}}, "policyTypes": ["Egress"]}

    def change(api):
        api["networkPolicies"].append(
            {"metadata": {"name": "closed", "namespace": "ops"}, "spec": spec}
        )

    return change


def without_enforcer(api):
    no_egress_of("agent")(api)
    no_agents(api)


def failing(document):
    """The connections of pods to pods are not made."""
    document["contacts"] = [
        {**each, "made": 0, "error": "timeout"} if each["purpose"] == "pod" else each
        for each in document["contacts"]
    ]


def both(*changes):
    def change(document):
        for each in changes:
            each(document)

    return change


class TestConnections:
    def test_that_policies_deny_have_to_fail(self):
        node = node_of(ROUTER, W1, failing, no_egress_of("agent"))
        assert decided("reachability.pod_to_pod", node) == ([], 2)

    def test_that_nothing_known_enforces_decide_nothing(self):
        node = node_of(ROUTER, W1, both(rules(open_rules), failing), without_enforcer)
        found, conclusive = decided("reachability.pod_to_pod", node)
        assert {each.inconclusive for each in found} == {"NetworkPolicy ops/closed"}
        assert conclusive == 0

    def test_that_policies_allow_must_not_fail(self):
        def allowed(api):
            no_egress_of("agent")(api)
            api["networkPolicies"][-1]["spec"]["egress"] = [{"ports": [{"port": 8080}]}]

        found, _ = decided("reachability.pod_to_pod", node_of(ROUTER, W1, failing, allowed))
        assert [each.inconclusive for each in found] == ["", ""]

    def test_that_were_made_although_denied(self):
        """What the rules do is not known, and the connection shows it."""
        change = with_rule_before("-A KUBE-ROUTER-FORWARD", UNKNOWN)
        node = node_of(ROUTER, W1, change, no_egress_of("agent"))
        found, _ = decided("policy.denied_traffic", node)
        (one,) = [each for each in found if each.subject.name == W1_AGENT]
        assert (one.inconclusive, one.key) == ("", "Egress")
        assert one.expected.startswith("TCP 8080 to ops/agent-")
        assert "isolated by NetworkPolicy ops/closed (egress)" in one.expected
        assert one.found.startswith(f"a connection was made from ops/{W1_AGENT} to Pod ops/")

    def test_that_the_rules_explain_are_one_finding(self):
        node = node_of(ROUTER, W1, None, no_egress_of("agent"))
        found, _ = decided("policy.denied_traffic", node)
        (one,) = [each for each in found if each.subject.name == W1_AGENT]
        assert "td-w1 forwards it" in one.found

    def test_to_a_pod_of_another_node_are_up_to_that_node(self):
        def closed(api):
            no_egress_of("agent")(api)
            api["networkPolicies"][-1]["spec"]["policyTypes"] = ["Ingress"]

        change = with_rule_before("-A KUBE-ROUTER-FORWARD", UNKNOWN)
        found, _ = decided("policy.denied_traffic", node_of(ROUTER, W1, change, closed))
        assert {each.inconclusive != "" for each in found} == {True}


class TestQueries:
    """The pods in namespace sealed may connect to nothing, and kube-router enforces it."""

    @pytest.mark.parametrize("check", ["dns.pods_resolve_udp", "dns.pods_resolve_tcp"])
    def test_that_policies_deny_get_no_answer(self, check):
        found, conclusive = decided(check, node_of(ROUTER, W2))
        assert found == []
        assert conclusive > 2

    def test_that_nothing_known_enforces_decide_nothing(self):
        node = node_of(ROUTER, W2, rules(open_rules), no_agents)
        found, _ = decided("dns.pods_resolve_udp", node)
        assert {each.inconclusive for each in found} == {"NetworkPolicy sealed/no-egress"}
