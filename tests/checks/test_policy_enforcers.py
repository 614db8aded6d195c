"""Whether something enforces policies on each node, follows the API, and does so on all nodes."""

from __future__ import annotations

from functools import cache

import pytest

from tests.checks.test_policy import added, rules, with_rule_before, without
from tests.policy_recordings import CALICO, ROUTER, cluster_of, node_of, recorded
from wirecheck.catalogue.findings import CONCLUSIVE, FactMissingError, Level, NotApplicable
from wirecheck.catalogue.registry import load
from wirecheck.model.cluster import Cluster
from wirecheck.model.fingerprint import Fingerprint
from wirecheck.policy.queues import LISTENERS

CHECKS = {each.function.__name__: each for each in load() if each.group == "policy"}
W1, W2 = "td-w1", "td-w2"
ALL = (W1, W2)
"""The nodes with pods that policies select."""
FROM_WEB = "KUBE-SRC-EADIRUG3SIPCXBJO"
DB_CHAIN = "KUBE-POD-FW-3WGJOH5THJRRTDF5"
NO_EGRESS, FROM_WEB_POLICY = "NetworkPolicy sealed/no-egress", "NetworkPolicy shop/db-from-web"


def cluster(name, nodes, changes=None, change_api=None):
    """The cluster with what was seen of its nodes, some of them with a change."""
    changes, model = changes or {}, cluster_of(name)
    prints = {}
    for each in nodes:
        if each in changes or change_api is not None:
            node = node_of(name, each, changes.get(each), change_api)
            model = node.cluster
            prints[each] = Fingerprint(policies=node.policies)
        else:
            prints[each] = policies_of(name, each)
    return Cluster(model.api, model.index, model.round, fingerprints=prints)


@cache
def policies_of(name, node):
    """What is kept of a node without a change."""
    return Fingerprint(policies=node_of(name, node).policies)


def found(check, subject):
    return list(CHECKS[check].findings(subject))


def no_agents(api):
    """Only kube-router's pods show that it is there."""
    api["pods"] = [e for e in api["pods"] if "kube-router" not in e["metadata"]["name"]]


def open_rules(lines):
    kept = ("KUBE-ROUTER", "KUBE-POD-FW", "KUBE-NWPLCY")
    return [each for each in lines if not any(word in each for word in kept)]


def missing(address):
    """No set has the address."""

    def do(document):
        record = document["commands"]["ipset-save"]
        lines = record["output"].splitlines(keepends=True)
        record["output"] = "".join(each for each in lines if f" {address} " not in each)

    return do


def without_enforcer(document, *, more=lambda _: None):
    """No rules about single pods, and no programs on interfaces."""
    rules(open_rules)(document)
    document["namespaces"] = [{**each, "programs": []} for each in document["namespaces"]]
    more(document)


class TestEnforced:
    @pytest.mark.parametrize("name", [ROUTER, CALICO])
    def test_policies_take_effect_on_every_node_of_a_healthy_cluster(self, name):
        assert found("enforced", cluster(name, recorded(name).documents)) == []

    def test_what_was_decided_is_counted(self):
        decided = list(CHECKS["enforced"].function(cluster(ROUTER, ALL)))
        assert decided.count(CONCLUSIVE) == 7

    def test_one_finding_if_nothing_enforces_policies(self):
        changes = dict.fromkeys(ALL, without_enforcer)
        (one,) = found("enforced", cluster(ROUTER, ALL, changes, no_agents))
        assert (one.subject.kind, one.subject.part) == ("Cluster", "NetworkPolicies")
        assert one.level is Level.WARN
        assert "sealed/no-egress" in one.found
        assert "flannel" in one.remedy

    def test_a_rule_of_somebody_that_refuses_what_one_policy_denies(self):
        """It does not make a program that enforces policies."""

        def more(document):
            with_rule_before("-A FORWARD", "-A FORWARD -d 10.244.2.16 -j DROP")(document)

        def change(document):
            without_enforcer(document, more=more)

        (one,) = found("enforced", cluster(ROUTER, ALL, dict.fromkeys(ALL, change), no_agents))
        assert (one.subject.kind, one.level) == ("Cluster", Level.WARN)

    def test_interfaces_whose_programs_were_not_read(self):
        changes = dict.fromkeys(ALL, rules(open_rules))
        with pytest.raises(NotApplicable, match="may enforce policies"):
            found("enforced", cluster(ROUTER, ALL, changes, no_agents))

    def test_programs_on_pods_interfaces_may_enforce_policies(self):
        def change(document):
            program = {"index": 2, "hook": "tc ingress", "kind": "bpf", "name": "handle_ingress"}

            def more(changed):
                own, *pods = changed["namespaces"]
                changed["namespaces"] = [own, *({**e, "programs": [program]} for e in pods)]

            without_enforcer(document, more=more)

        with pytest.raises(NotApplicable, match="may enforce policies"):
            found("enforced", cluster(ROUTER, ALL, dict.fromkeys(ALL, change), no_agents))

    def test_a_node_without_rules_beside_others(self):
        one, *others = found("enforced", cluster(ROUTER, ALL, {W2: without_enforcer}))
        names = {each.subject.part for each in (one, *others)}
        assert {NO_EGRESS, FROM_WEB_POLICY} <= names
        assert {(each.subject.name, each.level) for each in (one, *others)} == {(W2, Level.FAIL)}
        assert dict(one.names)["cni_pod"].startswith("kube-router-")

    def test_a_policy_whose_only_pod_is_open(self):
        change = without(f"-A {DB_CHAIN} ")
        (one,) = found("enforced", cluster(ROUTER, ALL, {W2: change}))
        assert (one.subject.name, one.subject.part) == (W2, FROM_WEB_POLICY)
        assert [each.name for each in one.concerns] == ["db-1"]

    def test_a_policy_that_is_enforced_in_part(self):
        chain = "KUBE-NWPLCY-ELT45QHM6SQRBIVM"
        rule = f"-A {chain} -p tcp -m tcp --dport 9999 -j MARK --set-xmark 0x10000/0x10000"
        change = with_rule_before(f"-A {chain}", rule)
        assert found("enforced", cluster(ROUTER, ALL, {W2: change})) == []

    def test_a_rule_of_which_it_is_not_known_whether_it_matches(self):
        change = with_rule_before(
            "-A KUBE-ROUTER-FORWARD", "-A KUBE-ROUTER-FORWARD -m u32 --u32 0x0 -j ACCEPT"
        )
        all_ = found("enforced", cluster(ROUTER, ALL, {W2: change}))
        assert {FROM_WEB_POLICY, NO_EGRESS} <= {each.subject.part for each in all_}
        assert all("u32" in each.inconclusive for each in all_)

    def test_without_policies(self):
        def change(api):
            api["networkPolicies"] = []

        with pytest.raises(NotApplicable, match="it is certain of no NetworkPolicy"):
            found("enforced", cluster(ROUTER, ALL, None, change))

    def test_a_policy_that_denies_nothing(self):
        def change(api):
            everything = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
            api["networkPolicies"] = [
                {"metadata": {"name": "all", "namespace": "shop"}, "spec": everything}
            ]

        with pytest.raises(NotApplicable, match="it is certain of no NetworkPolicy"):
            found("enforced", cluster(ROUTER, ALL, None, change))

    def test_what_only_an_admin_policy_denies(self):
        """kube-router does not enforce it: the traffic is a failure, not the NetworkPolicy."""

        def change(api):
            everything = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}
            api["networkPolicies"] = [
                {"metadata": {"name": "all", "namespace": "shop"}, "spec": everything}
            ]
            rule = {"action": "Deny", "peers": [{"namespaces": {}}]}
            api["policyKinds"] = {"AdminNetworkPolicy": "read"}
            api["otherPolicies"] = [
                {
                    "metadata": {"name": "closed"},
                    "kind": "AdminNetworkPolicy",
                    "choices": [{"pods": {"matchLabels": {"app": "db"}}, "namespaces": {}}],
                    "directions": ["Ingress"],
                    "admin": {"tier": "Admin", "ingress": [rule]},
                }
            ]

        with pytest.raises(NotApplicable, match="it is certain of no NetworkPolicy"):
            found("enforced", cluster(ROUTER, ALL, None, change))
        node = node_of(ROUTER, W2, without(f"-A {DB_CHAIN} "), change)
        (one,) = found("denied_traffic", node)
        assert one.subject.name == "db-1"
        assert "AdminNetworkPolicy closed, ingress rule 1 denies it" in one.expected

    def test_nodes_that_are_not_known(self):
        def change(document):
            del document["commands"]["iptables-nft-save"]
            del document["commands"]["iptables-legacy-save"]

        seen = cluster(ROUTER, ALL, {W2: change})
        assert seen.fingerprints[W2].policies.unknown
        assert found("enforced", seen) == []
        with pytest.raises((NotApplicable, FactMissingError)):
            found("enforced", cluster(ROUTER, ALL, dict.fromkeys(ALL, change)))


class TestQueues:
    """kindnet and kube-network-policies decide in user space."""

    @staticmethod
    def queued(options, listeners):
        def more(document):
            rule = f"-A FORWARD -m conntrack --ctstate NEW -j NFQUEUE --queue-num 100{options}"
            with_rule_before("-A FORWARD", rule)(document)
            files = dict(document["files"])
            if listeners is not None:
                files[LISTENERS] = listeners
            document["files"] = files

        def change(document):
            without_enforcer(document, more=more)

        return cluster(ROUTER, ALL, dict.fromkeys(ALL, change), no_agents)

    def test_a_program_listens(self):
        line = "  100   4711     0 2 65531     0     0        7  1"
        assert found("enforced", self.queued(" --queue-bypass", line)) == []

    @pytest.mark.parametrize(("options", "fate"), [("", "drops"), (" --queue-bypass", "forwards")])
    def test_no_program_listens(self, options, fate):
        line = "  101   4711     0 2 65531     0     0        7  1"
        all_ = found("enforced", self.queued(options, line))
        assert [each.subject.name for each in all_] == list(ALL)
        assert {each.subject.part for each in all_} == {"packets for queue 100"}
        assert {each.found for each in all_} == {f"none: the kernel {fate} them"}
        assert "NFQUEUE" in all_[0].evidence[0]

    def test_it_was_not_read_whether_a_program_listens(self):
        all_ = found("enforced", self.queued("", None))
        assert all_
        assert all("queue 100 was not read" in each.inconclusive for each in all_)


class TestUniformAcrossNodes:
    """The API does not define whether an ipBlock covers pods; enforcers let them in."""

    @staticmethod
    def with_block(api):
        """The pods of the application web may connect to a range that covers pods."""
        block = {"ipBlock": {"cidr": "10.244.0.0/16"}}
        spec = {
            "podSelector": {"matchLabels": {"app": "web"}},
            "policyTypes": ["Egress"],
            "egress": [{"to": [block], "ports": [{"port": 5432}]}],
        }
        api["networkPolicies"].append(
            {"metadata": {"name": "web-to-range", "namespace": "shop"}, "spec": spec}
        )

    def test_nodes_that_do_the_same(self):
        assert found("uniform_across_nodes", cluster(ROUTER, ALL, None, self.with_block)) == []

    def test_a_node_that_refuses_what_another_one_forwards(self):
        rule = "-A FORWARD -s 10.244.2.0/24 -d 10.244.0.0/16 -j DROP"
        change = with_rule_before("-A FORWARD", rule)
        all_ = found("uniform_across_nodes", cluster(ROUTER, ALL, {W2: change}, self.with_block))
        (one,) = [each for each in all_ if "shop app=web to shop app=db" in each.subject.part]
        assert one.found == f"{W1}: forwarded; {W2}: refused"
        assert "does not define whether ipBlock 10.244.0.0/16 applies to pods" in one.expected
        assert "TCP 5432" in one.subject.part

    def test_a_node_that_refuses_it_to_some_pods_of_a_class(self):
        rule = "-A FORWARD -s 10.244.2.11 -d 10.244.0.0/16 -j DROP"
        change = with_rule_before("-A FORWARD", rule)
        with pytest.raises(NotApplicable, match="no two nodes"):
            found("uniform_across_nodes", cluster(ROUTER, ALL, {W2: change}, self.with_block))

    def test_policies_that_define_everything(self):
        with pytest.raises(NotApplicable, match="leave undefined"):
            found("uniform_across_nodes", cluster(CALICO, recorded(CALICO).documents))


class TestEnforcerInSync:
    @staticmethod
    def aged(later=(), time="2026-11-29T15:55:00Z"):
        """All objects are an hour older, apart from some that came later."""

        def change(api):
            for each in (*api["pods"], *api["networkPolicies"]):
                is_later = each["metadata"]["name"] in later
                each["metadata"]["creationTimestamp"] = time if is_later else "2026-11-29T15:00:00Z"

        return change

    @pytest.mark.parametrize("name", [ROUTER, CALICO])
    def test_enforcers_of_healthy_clusters_follow_the_api(self, name):
        for node in recorded(name).documents:
            assert found("enforcer_in_sync", node_of(name, node)) == []

    def test_a_new_pod_that_a_set_lacks(self):
        """web-c98gq has 10.244.1.6."""
        change = missing("10.244.1.6")
        node = node_of(ROUTER, W2, change, self.aged(["web-678979c555-c98gq"]))
        (one,) = found("enforcer_in_sync", node)
        assert one.subject.name == W2
        assert one.expected.startswith("rules for Pod shop/web-678979c555-c98gq, as for ")
        assert "nothing that came after 2026-11-29T15:00:00Z is in the rules (1 obj" in one.found
        assert one.since is not None
        assert "web-678979c555-c98gq was created" in one.since.by

    def test_a_new_pod_without_a_chain(self):
        def change(document):
            without(f"-A {DB_CHAIN} ")(document)
            missing("10.244.2.16")(document)

        node = node_of(ROUTER, W2, change, self.aged(["db-1"]))
        (one,) = found("enforcer_in_sync", node)
        assert one.expected.startswith("rules for Pod shop/db-1, as for ")

    def test_a_policy_that_was_written_later(self):
        change = without(f"-A {DB_CHAIN} ")
        node = node_of(ROUTER, W2, change, self.aged(["db-from-web"]))
        (one,) = found("enforcer_in_sync", node)
        assert one.expected.startswith("rules for NetworkPolicy shop/db-from-web, as for ")

    def test_an_older_pod_that_a_set_lacks_is_another_fault(self):
        change = missing("10.244.1.6")
        newer = self.aged(["web-678979c555-vtcg5"])
        assert found("enforcer_in_sync", node_of(ROUTER, W2, change, newer)) == []

    def test_objects_of_one_time(self):
        change = missing("10.244.1.6")
        assert found("enforcer_in_sync", node_of(ROUTER, W2, change, self.aged())) == []

    def test_an_object_that_is_younger_than_the_period_of_the_agent(self):
        change = missing("10.244.1.6")
        young = self.aged(["web-678979c555-c98gq"], "2026-11-29T16:01:00Z")
        assert found("enforcer_in_sync", node_of(ROUTER, W2, change, young)) == []

    @pytest.mark.parametrize("time", ["", "yesterday", "9999-99-99T00:00:00Z"])
    def test_times_that_cannot_be_read(self, time):
        change = missing("10.244.1.6")
        odd = self.aged(["web-678979c555-c98gq"], time)
        assert found("enforcer_in_sync", node_of(ROUTER, W2, change, odd)) == []

    def test_nothing_is_programmed_at_all(self):
        change = without("-A FORWARD", "-j KUBE-ROUTER-FORWARD")
        assert found("enforcer_in_sync", node_of(ROUTER, W2, change, self.aged())) == []

    def test_an_address_that_was_left_in_a_set(self):
        change = added(f"{FROM_WEB} 10.244.2.200")
        assert found("enforcer_in_sync", node_of(ROUTER, W2, change, self.aged(["db-1"]))) == []
