"""Further faults of a cluster with kube-router, each one change to the healthy recording."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.changed_recordings import changed, found, items
from tests.test_network_recordings import FOLDER

HEALTHY, NODE = "kube-router-healthy", "td-w2"
CHECK = "firewall.policy_chains"
DB, CHAIN = "10.244.2.16/32", "KUBE-POD-FW-3WGJOH5THJRRTDF5"
UNSELECTED = "KUBE-POD-FW-C3D4DSBQ2XH5XMF2"
"""The chain of ops/agent-s9s9m, which no policy selects."""

ChangeLines = Callable[[list[str]], list[str]]


@pytest.fixture
def with_rules(tmp_path) -> Callable[[ChangeLines], Path]:
    """Makes a copy of the recording with other iptables rules on one node."""

    def make(change: ChangeLines) -> Path:
        def only_there(name, document):
            if name == NODE:
                save = document["commands"]["iptables-nft-save"]
                before = save["output"].split("\n")
                after = change(before)
                assert after != before
                save["output"] = "\n".join(after)

        return changed(FOLDER / HEALTHY, tmp_path, only_there)

    return make


def without(*texts: str) -> ChangeLines:
    """Remove the rules that contain all of the texts."""
    return lambda lines: [e for e in lines if not (e[:2] == "-A" and all(t in e for t in texts))]


def renamed(lines: list[str]) -> list[str]:
    """Chains with other names, as another version may have them."""
    return [e.replace("KUBE-POD-FW-", "PODFW").replace("KUBE-ROUTER-", "NETPOL") for e in lines]


def test_every_node_of_the_healthy_cluster_is_evaluated():
    assert {str(each.outcome) for each in items(FOLDER / HEALTHY, CHECK)} == {"pass"}


def test_an_empty_chain_is_found(with_rules):
    ((node, where, what),) = found(with_rules(without(f"-A {CHAIN} ")), CHECK)
    assert (node, where) == (NODE, "Pod shop/db-1")
    assert what == "the chain is empty: NetworkPolicy shop/db-from-web is not enforced"


def test_a_pod_without_a_chain_is_found(with_rules):
    ((_, where, what),) = found(with_rules(without("-A KUBE-ROUTER-FORWARD", DB)), CHECK)
    assert where == "Pod shop/db-1"
    assert what.startswith("no rule calls a chain for 10.244.2.16: NetworkPolicy shop/db-from-web")


@pytest.mark.parametrize("way", ["-s", "-d"])
def test_a_chain_that_is_called_in_one_direction_only_is_found(with_rules, way):
    change = without("-A KUBE-ROUTER-FORWARD", f"{way} {DB}")
    assert len(found(with_rules(change), CHECK)) == 1


def test_names_of_chains_do_not_matter(with_rules):
    def change(lines):
        return renamed(without(f"-A {CHAIN} ")(lines))

    assert len(found(with_rules(change), CHECK)) == 1


def test_an_empty_chain_of_a_pod_without_policies_is_a_warning(with_rules):
    results = items(with_rules(without(f"-A {UNSELECTED} ")), CHECK)
    assert [str(each.outcome) for each in results if each.node == NODE] == ["warn"]


def test_a_version_without_chains_for_pods_without_policies_is_healthy(with_rules):
    def change(lines):
        gone = without(f"-A {UNSELECTED} ")(without(f"-j {UNSELECTED}")(lines))
        return [each for each in gone if f":{UNSELECTED} " not in each]

    assert found(with_rules(change), CHECK) == []


def test_a_pod_that_ended_needs_no_chain(with_rules):
    folder = with_rules(without("-A KUBE-ROUTER-FORWARD", DB))
    file = folder / "look-1" / "api.json.gz"
    api = json.loads(gzip.decompress(file.read_bytes()))
    (pod,) = [e for e in api["pods"] if e["status"].get("podIP") == DB.partition("/")[0]]
    pod["status"]["phase"] = "Succeeded"
    file.write_bytes(gzip.compress(json.dumps(api).encode(), 1))

    assert found(folder, CHECK) == []


def test_a_chain_that_several_pods_share_is_not_one_of_a_pod(with_rules):
    def change(lines):
        shared = [re.sub(r"-j KUBE-POD-FW-[A-Z0-9]+", "-j SHARED", each) for each in lines]
        at = shared.index(":KUBE-FORWARD - [0:0]")
        return [*shared[:at], ":SHARED - [0:0]", *shared[at:]]

    results = items(with_rules(change), CHECK)
    assert [str(each.outcome) for each in results if each.node == NODE] == ["skip"]


def test_rules_of_a_person_for_one_pod_are_not_a_policy_engine(with_rules):
    def change(lines):
        plain = [e for e in lines if "KUBE-ROUTER" not in e and "KUBE-POD-FW" not in e]
        at = plain.index('-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD')
        own = [f"-A FORWARD -s {DB} -j WATCHED", f"-A FORWARD -d {DB} -j WATCHED"]
        chain = ["-A WATCHED -j LOG"]
        declared = plain.index(":KUBE-FORWARD - [0:0]")
        end = plain.index("COMMIT", at)
        before = [*plain[:declared], ":WATCHED - [0:0]", *plain[declared:at], *own]
        return [*before, *plain[at:end], *chain, *plain[end:]]

    results = items(with_rules(change), CHECK)
    (result,) = [each for each in results if each.node == NODE]
    assert str(result.outcome) == "skip"
    assert result.reason == "no policy engine has a chain for each pod on the node"


def test_a_jump_that_a_reload_removed_is_found(with_rules):
    folder = with_rules(without("-A FORWARD", "-j KUBE-ROUTER-FORWARD"))

    results = items(folder, "firewall.kubernetes_chains_called")
    ((finding,),) = [each.findings for each in results if each.findings]
    assert finding.expected == "a jump to KUBE-ROUTER-FORWARD"
    assert "delete pod kube-router-" in finding.remedy
    assert items(folder, CHECK)
