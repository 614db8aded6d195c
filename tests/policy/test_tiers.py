"""AdminNetworkPolicies, BaselineAdminNetworkPolicies and ClusterNetworkPolicies, by their API."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
import yaml

from tests.policy.small_policies import PODS, answer, api, decision, pod, policy
from wirecheck.collect.api.policies import RawPolicy, projected_policy
from wirecheck.snapshot.api_objects import ApiObjects

ALLOWED, DENIED, INCONCLUSIVE = "allowed", "denied", "inconclusive"
GROUP = "policy.networking.k8s.io"
ADMIN, BASELINE, CLUSTER = (
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
    "ClusterNetworkPolicy",
)
EVERY = "namespaces: {}"
OPS = "namespaces: {matchLabels: {kubernetes.io/metadata.name: ops}}"
SHOP = OPS.replace("ops", "shop")


def admin(text: str, kind: str = ADMIN, name: str = "some", subject: str = SHOP) -> dict[str, Any]:
    """A policy as the snapshot has it; its subject is namespace shop."""
    spec = {"priority": 10, "subject": yaml.safe_load(subject), **yaml.safe_load(text)}
    raw = msgspec.convert({"metadata": {"name": name}, "spec": spec}, RawPolicy)
    return msgspec.to_builtins(projected_policy(raw, GROUP, kind))


def cluster(*policies: dict[str, Any], own: Any = (), **more: Any) -> ApiObjects:
    kinds = dict.fromkeys((ADMIN, BASELINE, CLUSTER), "read")
    return api(*own, otherPolicies=list(policies), policyKinds=kinds, **more)


def rule(action: str, peer: str = EVERY, more: str = "", direction: str = "ingress") -> str:
    key = "from" if direction == "ingress" else "to"
    return f"{{{direction}: [{{action: {action}, {key}: [{{{peer}}}]{more}}}]}}"


def into_db(*policies: dict[str, Any], source: str = "ops/web", **more: Any) -> str:
    return decision(cluster(*policies, own=more.pop("own", ())), source, "shop/db", **more)


class TestActions:
    @pytest.mark.parametrize(
        ("action", "peer", "result"),
        [
            ("Deny", EVERY, DENIED),
            ("Deny", OPS, DENIED),
            ("Deny", SHOP, ALLOWED),
            ("Allow", EVERY, ALLOWED),
            ("Pass", EVERY, ALLOWED),
        ],
    )
    def test_of_an_admin_policy(self, action, peer, result):
        assert into_db(admin(rule(action, peer))) == result

    def test_the_rule_is_named(self):
        found = answer(cluster(admin(rule("Deny"))), "ops/web", "shop/db")
        assert found.reason == "AdminNetworkPolicy some, ingress rule 1 denies it"
        found = answer(cluster(admin(rule("Allow"))), "ops/web", "shop/db")
        assert found.reason == "AdminNetworkPolicy some, ingress rule 1 accepts it"

    @pytest.mark.parametrize(
        ("action", "result"), [("Allow", ALLOWED), ("Pass", DENIED), ("Deny", DENIED)]
    )
    def test_before_a_network_policy_that_denies(self, action, result):
        assert into_db(admin(rule(action)), own=[policy("")]) == result

    @pytest.mark.parametrize(
        ("action", "result"), [("Allow", ALLOWED), ("Pass", ALLOWED), ("Deny", DENIED)]
    )
    def test_before_a_network_policy_that_allows(self, action, result):
        assert into_db(admin(rule(action)), own=[policy("ingress: [{}]")]) == result

    @pytest.mark.parametrize(("action", "result"), [("Allow", ALLOWED), ("Deny", DENIED)])
    def test_of_the_baseline(self, action, result):
        assert into_db(admin(rule(action), BASELINE)) == result

    @pytest.mark.parametrize("action", ["Allow", "Deny"])
    def test_of_the_baseline_do_not_count_for_pods_that_a_network_policy_isolates(self, action):
        of_baseline = admin(rule(action), BASELINE)
        assert into_db(of_baseline, own=[policy("")]) == DENIED
        assert into_db(of_baseline, own=[policy("ingress: [{}]")]) == ALLOWED
        assert into_db(of_baseline, own=[policy("policyTypes: [Egress]")]) == (
            ALLOWED if action == "Allow" else INCONCLUSIVE
        )

    def test_pass_comes_to_the_baseline(self):
        first, last = admin(rule("Pass")), admin(rule("Deny"), BASELINE)
        assert into_db(first, last) == DENIED
        assert into_db(admin(rule("Allow")), last) == ALLOWED

    def test_the_first_rule_that_matches_decides(self):
        peers = "from: [{namespaces: {}}]"
        text = f"{{ingress: [{{action: Allow, {peers}}}, {{action: Deny, {peers}}}]}}"
        assert into_db(admin(text)) == ALLOWED

    def test_both_ends_count(self):
        egress = admin(rule("Deny", EVERY, direction="egress"), subject=OPS)
        assert into_db(egress, admin(rule("Allow"), name="other")) == DENIED
        assert into_db(egress, source="shop/web") == ALLOWED


class TestPriority:
    @staticmethod
    def of(action: str, priority: int, name: str) -> dict[str, Any]:
        return admin(f"{{priority: {priority}, {rule(action)[1:]}", name=name)

    @pytest.mark.parametrize(("first", "result"), [(1, ALLOWED), (20, DENIED)])
    def test_the_lowest_value_comes_first(self, first, result):
        assert into_db(self.of("Allow", first, "a"), self.of("Deny", 10, "b")) == result

    def test_policies_of_one_priority_that_differ(self):
        found = answer(cluster(self.of("Allow", 5, "a"), self.of("Deny", 5, "b")),
                       "ops/web", "shop/db")  # fmt: skip
        assert found.decision == INCONCLUSIVE
        assert "one priority" in found.reason

    def test_policies_of_one_priority_that_agree(self):
        assert into_db(self.of("Deny", 5, "a"), self.of("Deny", 5, "b")) == DENIED


class TestPeers:
    @pytest.mark.parametrize(
        ("peer", "result"),
        [
            ("pods: {namespaceSelector: {}, podSelector: {}}", DENIED),
            ("pods: {namespaceSelector: {}, podSelector: {matchLabels: {tier: front}}}", DENIED),
            ("pods: {namespaceSelector: {}, podSelector: {matchLabels: {tier: back}}}", ALLOWED),
            (f"pods: {{{SHOP.replace('namespaces', 'namespaceSelector')}, podSelector: {{}}}}",
             ALLOWED),
            ("namespaces: {matchLabels: {team: red}}", DENIED),
            ("namespaces: {matchLabels: {team: blue}}", ALLOWED),
        ],
    )  # fmt: skip
    def test_selectors(self, peer, result):
        namespaces = [{"metadata": {"name": "ops", "labels": {"team": "red"}}},
                      {"metadata": {"name": "shop"}}]  # fmt: skip
        objects = cluster(admin(rule("Deny", peer)), namespaces=namespaces)
        assert decision(objects, "ops/web", "shop/db") == result

    def test_labels_of_namespaces_that_were_not_read(self):
        assert (
            into_db(admin(rule("Deny", "namespaces: {matchLabels: {team: red}}"))) == INCONCLUSIVE
        )

    def test_selectors_of_pods_leave_out_the_host_network(self):
        """NetworkPolicy leaves it undefined, and these say so."""
        assert into_db(admin(rule("Deny")), source="ops/agent") == ALLOWED

    @pytest.mark.parametrize(
        ("networks", "result"),
        [("[10.244.1.0/24]", DENIED), ("[10.244.2.0/24]", ALLOWED), ("[0.0.0.0/0]", DENIED)],
    )
    def test_networks_cover_pods(self, networks, result):
        """Unlike ipBlocks, they are defined to."""
        out = admin(rule("Deny", f"networks: {networks}", direction="egress"), subject=OPS)
        assert into_db(out) == result

    def test_networks_of_one_family_and_pods_of_two(self):
        of_two = pod("shop", "db", "10.244.1.2")
        of_two["status"]["podIPs"] = [{"ip": "10.244.1.2"}, {"ip": "fd00::2"}]
        out = admin(rule("Deny", "networks: [10.244.1.0/24]", direction="egress"), subject=OPS)
        pods = [each for each in PODS if each["metadata"]["name"] != "db"]
        objects = cluster(out, pods=[*pods, of_two])
        assert decision(objects, "ops/web", "shop/db") == INCONCLUSIVE

    @pytest.mark.parametrize(
        ("nodes", "result"), [("{}", DENIED), ("{matchLabels: {a: b}}", INCONCLUSIVE)]
    )
    def test_nodes(self, nodes, result):
        out = admin(rule("Deny", f"nodes: {nodes}", direction="egress"))
        assert decision(cluster(out), "shop/web", "ops/agent") == result
        assert decision(cluster(out), "shop/web", "ops/web") == ALLOWED

    def test_domain_names_are_not_those_of_pods(self):
        out = admin(rule("Allow", "domainNames: [example.test]", direction="egress"))
        closed = policy("policyTypes: [Egress]")
        assert decision(cluster(out, own=[closed]), "shop/web", "ops/web") == DENIED


class TestPorts:
    @pytest.mark.parametrize(
        ("ports", "port", "protocol", "result"),
        [
            ("portNumber: {port: 80, protocol: TCP}", 80, "TCP", DENIED),
            ("portNumber: {port: 80, protocol: TCP}", 81, "TCP", ALLOWED),
            ("portNumber: {port: 80, protocol: TCP}", 80, "UDP", ALLOWED),
            ("portNumber: {port: 80}", 80, "TCP", DENIED),
            ("portRange: {start: 79, end: 81, protocol: UDP}", 80, "UDP", DENIED),
            ("portRange: {start: 79, end: 81, protocol: UDP}", 82, "UDP", ALLOWED),
            ("namedPort: http", 5432, "TCP", DENIED),
            ("namedPort: http", 80, "TCP", ALLOWED),
            ("namedPort: none", 80, "TCP", ALLOWED),
        ],
    )
    def test_of_an_admin_policy(self, ports, port, protocol, result):
        text = rule("Deny", EVERY, f", ports: [{{{ports}}}]")
        assert into_db(admin(text), port=port, protocol=protocol) == result

    @pytest.mark.parametrize(
        ("protocols", "port", "protocol", "result"),
        [
            ("tcp: {destinationPort: {number: 80}}", 80, "TCP", DENIED),
            ("tcp: {destinationPort: {number: 80}}", 80, "UDP", ALLOWED),
            ("udp: {destinationPort: {range: {start: 1, end: 90}}}", 80, "UDP", DENIED),
            ("udp: {destinationPort: {range: {start: 1, end: 9}}}", 80, "UDP", ALLOWED),
            ("tcp: {}", 80, "TCP", DENIED),
            ("sctp: {}", 80, "TCP", ALLOWED),
            ("destinationNamedPort: http", 5432, "TCP", DENIED),
        ],
    )
    @pytest.mark.parametrize("tier", ["Admin", "Baseline"])
    def test_of_a_cluster_network_policy(self, tier, protocols, port, protocol, result):
        text = rule("Deny", EVERY, f", protocols: [{{{protocols}}}]")
        found = admin(f"{{tier: {tier}, {text[1:]}", CLUSTER)
        assert into_db(found, port=port, protocol=protocol) == result


class TestClusterNetworkPolicy:
    def test_accept_is_its_word_for_allow(self):
        found = admin(f"{{tier: Admin, {rule('Accept')[1:]}", CLUSTER)
        assert into_db(found, own=[policy("")]) == ALLOWED

    def test_its_tier_decides(self):
        found = admin(f"{{tier: Baseline, {rule('Accept')[1:]}", CLUSTER)
        assert into_db(found, own=[policy("")]) == DENIED


@pytest.mark.parametrize(
    "text",
    [
        rule("Reject"),
        rule("Deny", "serviceAccounts: {}"),
        rule("Deny", "namespaces: {}, pods: {}"),
        rule("Deny", "networks: [here]", direction="egress"),
        rule("Deny", "networks: []", direction="egress"),
        rule("Deny", EVERY, ", ports: [{portNumber: {port: 0}}]"),
        rule("Deny", EVERY, ", ports: [{portNumber: {port: many}}]"),
        rule("Deny", EVERY, ", ports: [{portRange: {start: 9, end: 1}}]"),
        rule("Deny", EVERY, ", ports: [{unknown: 1}]"),
        rule("Deny", EVERY, ", until: tomorrow"),
        "{ingress: [{action: Deny, from: []}]}",
        "{ingress: [{action: Deny}]}",
        "{ingress: [nothing]}",
        "{ingress: nothing}",
        f"{{priority: high, {rule('Deny')[1:]}",
    ],
)
def test_what_is_not_recognised_is_inconclusive(text):
    assert into_db(admin(text)) == INCONCLUSIVE or "egress" in text
    found = admin(text, subject=OPS)
    assert found.get("admin") is None


def test_recordings_of_older_versions_have_no_rules():
    found = admin(rule("Allow"))
    del found["admin"]
    objects = cluster(found, own=[policy("")])
    assert decision(objects, "ops/web", "shop/db") == INCONCLUSIVE
