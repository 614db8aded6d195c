"""Faults of enforcers, each one change to a recording of a healthy cluster."""

from __future__ import annotations

import json
import re

import pytest

from tests.policy_recordings import (
    CALICO,
    CALICO_NFT,
    CLOSED,
    OPEN,
    ROUTER,
    TABLE,
    findings,
    node_of,
    recorded,
)
from wirecheck.catalogue.findings import Level, NotApplicable
from wirecheck.dataplane.rules import set_members

IPTABLES = "iptables-nft-save"
W1, W2 = "td-w1", "td-w2"
DB, GATEWAY, VAULT = "shop/db-1", "shop/gateway-58bcb6f5dc-7m2hb", "sealed/vault-5dbd85c544-hd466"
FROM_WEB, OF_DB = "KUBE-SRC-EADIRUG3SIPCXBJO", "KUBE-DST-SQJX7Z6HUCZJ5RQO"
OF_POLICY = "KUBE-NWPLCY-ELT45QHM6SQRBIVM"
"""The chain of policy shop/db-from-web."""
BLOCK = "KUBE-SRC-B35XMOMBGCALBRLL"
WEB = "shop/web-c5b89bf5d-bfwk5"
"""A pod on tb-w2 that policy shop/web-from-front selects; its device is cali47c5ac52ace."""
FRONTS = "dpvmcDnph6mjx8w2XEGA5xh"
"""The set of the pods that this policy allows, without its prefix."""


def rules(change):
    """Change the lines of iptables-save."""

    def do(document):
        record = document["commands"][IPTABLES]
        record["output"] = "\n".join(change(record["output"].split("\n")))

    return do


def without(*words):
    """Remove the rules that contain all of the words."""
    return rules(lambda all_: [e for e in all_ if e[:2] != "-A" or not all(w in e for w in words)])


def with_rule_before(found, rule):
    """Insert a rule before the first one that contains a text."""

    def change(lines):
        at = next(at for at, each in enumerate(lines) if each[:2] == "-A" and found in each)
        return [*lines[:at], rule, *lines[at:]]

    return rules(change)


def sets(old, new):
    """Replace a text of `ipset save`."""

    def do(document):
        record = document["commands"]["ipset-save"]
        record["output"] = record["output"].replace(old, new)

    return do


def added(entry):
    """Add an entry to a set."""

    def do(document):
        document["commands"]["ipset-save"]["output"] += f"add {entry} timeout 0\n"

    return do


def table(change):
    """Change the objects of Calico's nftables table."""

    def do(document):
        record = document["commands"][TABLE]
        found = json.loads(record["output"])
        found["nftables"] = [e for each in found["nftables"] for e in change(each)]
        record["output"] = json.dumps(found)

    return do


def without_element(name, member):
    """Remove an element of a set or map of Calico's nftables table."""

    def change(each):
        (kind,) = each
        if kind in ("set", "map") and each[kind].get("name") == name:
            left = [e for e in each[kind]["elem"] if e != member and e[0] != member]
            return [{kind: {**each[kind], "elem": left}}]
        return [each]

    return table(change)


def whats(found):
    return [each.what for each in found]


@pytest.mark.parametrize("name", [ROUTER, CALICO, CALICO_NFT])
def test_every_node_of_a_healthy_cluster_enforces_what_the_api_has(name):
    for node in recorded(name).documents:
        assert findings(name, node) == []


class TestTooOpen:
    def test_a_flushed_chain_of_a_pod(self):
        change = without("-A KUBE-POD-FW-3WGJOH5THJRRTDF5 ")
        (found,) = findings(ROUTER, W2, change)
        assert found.what == (OPEN, DB, "Ingress")
        assert found.finding.expected == (
            "TCP 5432 from kube-system/coredns-59cbb685cf-d8snx denied: no rule allows it; "
            "isolated by NetworkPolicy shop/db-from-web (ingress)"
        )
        assert found.finding.found == "td-w2 forwards it (every port), and 26 further peers"
        assert dict(found.finding.names)["cni_pod"].startswith("kube-router-")

    def test_a_pod_whose_chain_no_rule_calls(self):
        change = without("-A KUBE-ROUTER-FORWARD", "-d 10.244.2.16/32")
        assert whats(findings(ROUTER, W2, change)) == [(OPEN, DB, "Ingress")]

    def test_egress_of_a_pod_whose_chain_no_rule_calls(self):
        change = without("-A KUBE-ROUTER-FORWARD", "-s 10.244.2.3/32")
        (found,) = findings(ROUTER, W2, change)
        assert found.what == (OPEN, VAULT, "Egress")
        assert "isolated by NetworkPolicy sealed/no-egress (egress)" in found.finding.expected

    def test_the_filters_that_nothing_calls(self):
        change = without("-A FORWARD", "-j KUBE-ROUTER-FORWARD")
        found = findings(ROUTER, W2, change)
        assert {each.check for each in found} == {OPEN}
        assert {DB, GATEWAY, VAULT} < {each.pod for each in found}

    def test_names_of_chains_do_not_matter(self):
        def change(lines):
            left = [e for e in lines if "-A KUBE-POD-FW-3WGJOH5THJRRTDF5 " not in e]
            return [re.sub("KUBE-(POD-FW|ROUTER|NWPLCY)-", "X", each) for each in left]

        assert whats(findings(ROUTER, W2, rules(change))) == [(OPEN, DB, "Ingress")]

    def test_an_address_that_was_left_in_a_set(self):
        change = added(f"{FROM_WEB} 10.244.2.4")
        (found,) = findings(ROUTER, W2, change)
        assert found.what == (OPEN, DB, "Ingress")
        assert found.finding.found == "td-w2 forwards it (TCP 5432)"
        assert f"10.244.2.4 is in set {FROM_WEB}" in found.finding.evidence

    @pytest.mark.parametrize(
        ("address", "level"), [("10.244.2.200", Level.WARN), ("10.244.9.9", Level.FAIL)]
    )
    def test_an_address_of_nobody_in_a_set(self, address, level):
        (found,) = findings(ROUTER, W2, added(f"{FROM_WEB} {address}"))
        assert (found.what, found.finding.level) == ((OPEN, DB, "Ingress"), level)
        assert f"TCP 5432 from {address}" in found.finding.expected

    def test_the_address_of_a_pod_that_is_ending_may_be_in_a_set(self):
        def change(api):
            (web,) = [e for e in api["pods"] if e["status"].get("podIP") == "10.244.1.6"]
            web["metadata"]["deletionTimestamp"] = "2026-11-29T16:03:00Z"

        assert findings(ROUTER, W2, None, change) == []

    def test_an_exception_of_a_block_that_is_gone(self):
        change = sets(f"add {BLOCK} 172.29.200.0/24 timeout 0 nomatch\n", "")
        (found,) = findings(ROUTER, W2, change)
        assert found.what == (OPEN, GATEWAY, "Ingress")
        assert "TCP 9090 from 172.29.200." in found.finding.expected

    def test_a_range_that_no_policy_has(self):
        change = added(f"{BLOCK} 8.8.0.0/16")
        (found,) = findings(ROUTER, W2, change)
        assert "TCP 9090 from 8.8." in found.finding.expected

    def test_a_port_that_no_policy_has(self):
        rule = f"-A {OF_POLICY} -p tcp -m tcp --dport 9999 -j MARK --set-xmark 0x10000/0x10000"
        change = with_rule_before(f"-A {OF_POLICY}", rule)
        (found,) = findings(ROUTER, W2, change)
        assert found.what == (OPEN, DB, "Ingress")
        assert found.finding.found.startswith("td-w2 forwards it (TCP 9999)")

    def test_a_range_of_ports_that_is_wider_than_the_policys(self):
        def change(lines):
            return [
                each.replace("--dport 5432", "--dport 5432:5440") if FROM_WEB in each else each
                for each in lines
            ]

        (found,) = findings(ROUTER, W2, rules(change))
        assert found.finding.found.startswith("td-w2 forwards it (TCP 5433, 54")

    def test_a_rule_of_somebody_else_that_accepts_first(self):
        change = with_rule_before("-A FORWARD", "-A FORWARD -i cni0 -o cni0 -j ACCEPT")
        found = findings(ROUTER, W2, change)
        assert {each.what for each in found} >= {(OPEN, DB, "Ingress"), (OPEN, VAULT, "Egress")}
        (of_db,) = [each for each in found if each.pod == DB]
        assert of_db.finding.evidence == ("-A FORWARD -i cni0 -o cni0 -j ACCEPT",)

    def test_a_mark_that_is_never_set_back(self):
        change = with_rule_before(
            "-A KUBE-ROUTER-FORWARD", "-A KUBE-ROUTER-FORWARD -j MARK --set-xmark 0x10000/0x10000"
        )
        assert (OPEN, DB, "Ingress") in whats(findings(ROUTER, W2, change))

    def test_bridged_packets_that_do_not_meet_iptables(self):
        def change(document):
            path = "/proc/sys/net/bridge/bridge-nf-call-iptables"
            document["files"] = {**document["files"], path: "0\n"}

        found = findings(ROUTER, W2, change)
        (of_db,) = [each for each in found if each.pod == DB]
        assert of_db.check == OPEN
        assert "bridge-nf-call-iptables is not 1" in of_db.finding.evidence[0]

    @pytest.mark.parametrize(
        "words",
        [
            ["-A cali-tw-cali47c5ac52ace "],
            ["-A FORWARD", "-j cali-FORWARD"],
            ["-A cali-FORWARD", "-o cali+"],
            ["-A cali-tw-cali47c5ac52ace ", "End of tier default"],
        ],
    )
    def test_rules_of_calico(self, words):
        found = findings(CALICO, "tb-w2", without(*words))
        assert (OPEN, WEB, "Ingress") in whats(found)
        assert {each.check for each in found} == {OPEN}

    def test_rules_of_calico_in_nftables(self):
        def change(each):
            rule = each.get("rule", {})
            is_end = "End of tier default" in rule.get("comment", "")
            return [] if is_end and rule["chain"] == "filter-cali-tw-cali47c5ac52ace" else [each]

        assert whats(findings(CALICO_NFT, "tb-w2", table(change))) == [(OPEN, WEB, "Ingress")]


class TestTooClosed:
    @pytest.mark.parametrize(("name", "member"), [(FROM_WEB, "10.244.1.6"), (OF_DB, "10.244.2.16")])
    def test_an_address_that_a_set_lacks(self, name, member):
        (found,) = findings(ROUTER, W2, sets(f"add {name} {member} timeout 0\n", ""))
        assert found.what == (CLOSED, DB, "Ingress")
        assert "allowed: NetworkPolicy shop/db-from-web, ingress" in found.finding.expected
        assert f"{member} is not in set {name}" in found.finding.evidence

    def test_a_range_that_a_set_lacks(self):
        (found,) = findings(ROUTER, W2, sets(f"add {BLOCK} 172.29.0.0/16 timeout 0\n", ""))
        assert found.what == (CLOSED, GATEWAY, "Ingress")
        assert "TCP 9090 from 172.29." in found.finding.expected

    def test_a_policy_without_its_rules(self):
        found = findings(ROUTER, W2, without(f"-A {OF_POLICY} "))
        assert whats(found) == [(CLOSED, DB, "Ingress")]

    def test_a_named_port_that_has_another_number(self):
        def change(lines):
            return [each.replace("--dport 9001 ", "--dport 9003 ") for each in lines]

        (found,) = [e for e in findings(ROUTER, W2, rules(change)) if e.check == CLOSED]
        assert found.pod.startswith("shop/checkout-old-")
        assert "TCP 9001 from shop/web-" in found.finding.expected

    def test_a_pod_that_no_policy_selects_is_refused(self):
        change = without("-A KUBE-POD-FW-C3D4DSBQ2XH5XMF2", "-d 10.244.2.4/32", "default ingress")
        found = findings(ROUTER, W2, change)
        assert whats(found) == [(CLOSED, "ops/agent-s9s9m", "Ingress")]
        assert "allowed: no policy isolates the pod" in found[0].finding.expected

    def test_a_set_of_calico(self):
        (found, *_) = findings(CALICO, "tb-w2", sets(f"add cali40s:{FRONTS} 10.244.140.146\n", ""))
        assert found.what == (CLOSED, WEB, "Ingress")
        assert f"10.244.140.146 is not in set cali40s:{FRONTS}" in found.finding.evidence

    def test_a_set_of_calico_in_nftables(self):
        change = without_element(f"cali40s-{FRONTS}", "10.244.140.146")
        found = findings(CALICO_NFT, "tb-w2", change)
        assert (CLOSED, WEB, "Ingress") in whats(found)

    def test_a_device_without_rules_in_nftables(self):
        change = without_element("filter-cali-to-wl-dispatch", "cali47c5ac52ace")
        assert whats(findings(CALICO_NFT, "tb-w2", change)) == [(CLOSED, WEB, "Ingress")]

    def test_what_leaves_the_cluster_is_up_to_the_nodes_owner(self):
        change = with_rule_before("-A FORWARD", "-A FORWARD -d 198.51.100.0/24 -j DROP")
        assert findings(ROUTER, W2, change) == []

    @pytest.mark.parametrize("most", [100, 10])
    def test_a_block_list_is_up_to_the_nodes_owner(self, most, monkeypatch):
        monkeypatch.setattr(set_members, "MOST_ENTRIES", most)
        banned = [f"172.29.{n // 250}.{n % 250 + 1}" for n in range(1_000, 1_050)]

        def change(document):
            entries = "".join(f"add banned {each}\n" for each in banned)
            document["commands"]["ipset-save"]["output"] += f"create banned hash:ip\n{entries}"
            rule = "-A FORWARD -m set --match-set banned src -j DROP"
            with_rule_before("-A FORWARD", rule)(document)

        assert findings(ROUTER, W2, change) == []

    @pytest.mark.parametrize("most", [100, 10])
    def test_a_block_list_with_a_pod(self, most, monkeypatch):
        monkeypatch.setattr(set_members, "MOST_ENTRIES", most)

        def change(document):
            entries = "".join(f"add banned 198.18.{n // 250}.{n % 250}\n" for n in range(50))
            document["commands"]["ipset-save"]["output"] += (
                f"create banned hash:ip\n{entries}add banned 10.244.1.6\n"
            )
            rule = "-A FORWARD -m set --match-set banned src -j DROP"
            with_rule_before("-A FORWARD", rule)(document)

        found = findings(ROUTER, W2, change)
        assert (CLOSED, DB, "Ingress") in whats(found)
        (of_db,) = [each for each in found if each.pod == DB]
        assert "-A FORWARD -m set --match-set banned src -j DROP" in of_db.finding.evidence


class TestUndecided:
    def test_sets_that_were_not_read(self):
        def change(document):
            document["commands"]["ipset-save"] = {"argv": [], "problem": "not asked: no IPVS"}

        found = findings(ROUTER, W2, change)
        assert {each.finding.inconclusive for each in found} == {
            "a rule matches an ipset whose members are not known"
        }
        assert {each.pod for each in found} == {DB, GATEWAY, "shop/checkout-old-66c68d6ff8-7dqwr"}

    def test_a_policy_of_another_kind(self):
        def change(api):
            api["policyKinds"] = {"CiliumNetworkPolicy": "unreadable"}

        found = findings(ROUTER, W2, None, change)
        assert {each.check for each in found} == {OPEN}
        assert all("could not be read" in each.finding.inconclusive for each in found)

    def test_rules_of_policies_that_were_not_read(self):
        def change(api):
            api["policyRulesRead"] = False

        found = findings(ROUTER, W2, None, change)
        assert {each.check for each in found} == {OPEN}
        assert {DB, GATEWAY} < {each.pod for each in found}
        assert all("without their rules" in each.finding.inconclusive for each in found)

    def test_a_condition_that_is_not_known(self):
        rule = "-A KUBE-ROUTER-FORWARD -m u32 --u32 0x0 -j ACCEPT"
        found = findings(ROUTER, W2, with_rule_before("-A KUBE-ROUTER-FORWARD", rule))
        (of_db,) = [each for each in found if each.pod == DB]
        assert of_db.check == OPEN
        assert rule in of_db.finding.inconclusive

    def test_a_condition_that_is_not_known_and_changes_nothing(self):
        rule = "-A KUBE-ROUTER-FORWARD -m u32 --u32 0x0 -j MARK --set-xmark 0x8000000/0x8000000"
        assert findings(ROUTER, W2, with_rule_before("-A KUBE-ROUTER-FORWARD", rule)) == []

    def test_an_nftables_table_that_was_not_read(self):
        def change(document):
            del document["commands"][TABLE]

        found = findings(CALICO_NFT, "tb-w2", change)
        assert {each.finding.inconclusive for each in found} == {
            "the rules of nftables tables were not read: ip calico"
        }

    def test_nodes_without_rules_for_single_pods(self):
        def change(lines):
            kept = ("KUBE-ROUTER", "KUBE-POD-FW", "KUBE-NWPLCY")
            return [each for each in lines if not any(word in each for word in kept)]

        def without_agents(api):
            api["pods"] = [e for e in api["pods"] if "kube-router" not in e["metadata"]["name"]]

        with pytest.raises(NotApplicable, match="so nothing known enforces NetworkPolicy s"):
            assert node_of(ROUTER, W2, rules(change), without_agents).policy_enforcement.deviations

    @pytest.mark.parametrize("target", ["ACCEPT", "LOG", "DROP"])
    def test_one_rule_with_a_pods_device_is_no_policy_engine(self, target):
        def change(lines):
            plain = [each for each in lines if "cali" not in each]
            rule = f"-A FORWARD -i cali47c5ac52ace -j {target}"
            at = next(at for at, each in enumerate(plain) if each.startswith("-A FORWARD"))
            return [*plain[:at], rule, *plain[at:]]

        def without_agents(api):
            api["pods"] = [e for e in api["pods"] if "calico" not in e["metadata"]["name"]]

        node = node_of(CALICO, "tb-w2", rules(change), without_agents)
        with pytest.raises(NotApplicable, match="are about single pods"):
            assert node.policy_enforcement.deviations
