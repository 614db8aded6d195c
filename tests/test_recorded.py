"""Whole runs on the clusters that ship with the package: what a newcomer sees first."""

import json
from functools import cache
from pathlib import Path

import pytest
from msgspec.structs import replace

from testbed.faults.fault import load_faults
from testbed.record import BROKEN, RECORDED
from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import load
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.evaluation.verdict import exit_status
from wirecheck.snapshot.folder import Snapshot

PATHS = {
    ("paths.pods_to_pods", "fail"),
    ("paths.to_api_server", "fail"),
    ("paths.to_dns", "fail"),
    ("paths.to_services", "fail"),
    ("paths.out_of_the_cluster", "warn"),
}
"""A pod of the broken cluster has no address, so none of its packets leaves it."""
NOT_THERE = {
    "cni.agent_responds": "it was recorded before agents were asked",
    "cni.blocks_claimed": "Calico is not in the cluster",
    "cni.token_valid": "flannel has no token of its own",
    "conntrack.limit_as_configured": "kube-proxy leaves the limit of the shared kernel alone",
    "deprecations.cni_plugin": "Calico is not in the cluster",
    "deprecations.host_ports": "kube-proxy is in iptables mode, and no other is planned",
    "deprecations.nftables_kernel": "kube-proxy is in iptables mode, and no other is planned",
    "deprecations.node_ports": "kube-proxy is in iptables mode, and no other is planned",
    "dns.external_names": "no name was asked outside",
    "dns.large_responses": "no name has a large answer",
    "dns.node_local_cache": "there is no NodeLocal DNSCache",
    "firewall.address_sets": "Calico is not in the cluster",
    "firewall.policy_chains": "no policy engine is in the cluster",
    "ebpf.map_usage": "Cilium is not in the cluster",
    "ebpf.pod_endpoints": "Cilium is not in the cluster",
    "ebpf.pod_identities": "Cilium is not in the cluster",
    "ebpf.socket_programs": "Cilium is not in the cluster",
    "ebpf.tunnel_endpoints": "Cilium is not in the cluster",
    "links.unmanaged_by_networkmanager": "no node has NetworkManager",
    "links.mac_policy": "no node has udev",
    "nodes.neighbour_table": "containers do not see the limit",
    "policy.allowed_traffic": "no policy engine is in the cluster",
    "policy.audit_mode_off": "Cilium is not in the cluster",
    "policy.denied_traffic": "no policy engine is in the cluster",
    "policy.enforced": "flannel enforces no policies, and the check warns of that",
    "policy.enforcer_in_sync": "no policy engine is in the cluster",
    "policy.uniform_across_nodes": "no policy engine is in the cluster",
    "pods.egress_uniform": "flannel has no address pools",
    "reachability.large_payloads_between_nodes": "there were no helper pods",
    "reachability.large_payloads_within_node": "there were no helper pods",
    "settings.refreshed_by_calico": "Calico is not in the cluster",
    "routes.own_blocks": "Calico is not in the cluster",
    "routes.rules_safe_from_networkd": "no node has networkd",
}
"""What the recorded cluster lacks."""

UNENFORCED = ("policy.enforced", "warn")
"""flannel enforces no NetworkPolicy, and the cluster has one."""

SECRETS = ("BEGIN CERTIFICATE", "PRIVATE KEY", "client-key-data", "eyJhbGciOi", "last-applied")


def items(name: str):
    return list(evaluate(Snapshot.open(RECORDED / name), load()))


@cache
def once(name: str):
    """The same, evaluated by one of the tests."""
    return items(name)


def red(name: str) -> set[tuple[str, str]]:
    outcomes = (Outcome.FAIL, Outcome.WARN, Outcome.ERROR)
    return {(each.check, str(each.outcome)) for each in once(name) if each.outcome in outcomes}


def test_the_healthy_cluster_is_healthy_and_was_looked_at():
    judged = once("healthy")

    assert red("healthy") == {UNENFORCED}
    assert exit_status(judged) == 0
    assert sum(each.outcome is Outcome.PASS for each in judged) > 90


def test_the_broken_cluster_shows_every_fault_that_was_put_in():
    faults = [fault for fault in load_faults() if fault.name in BROKEN]
    expected = {(check, outcome) for fault in faults for check, _, outcome in fault.reds()}

    assert len(faults) == len(BROKEN)
    assert red("broken") == expected | {UNENFORCED} | PATHS
    assert exit_status(once("broken")) == 1


def test_a_cluster_that_an_older_wirecheck_recorded_is_judged_as_before():
    """Facts that were not read then are skipped with that reason, and nothing else changes."""
    old = Snapshot.open(Path(__file__).parent / "recorded" / "clusters" / "broken")
    outcomes = (Outcome.FAIL, Outcome.WARN, Outcome.ERROR)

    judged = list(evaluate(old, load()))
    known = {each.check for each in judged if each.outcome is not Outcome.SKIP}
    found = {(each.check, str(each.outcome)) for each in judged if each.outcome in outcomes}

    assert found == {each for each in red("broken") if each[0] in known}
    assert len(known) > 60


class TestDualStack:
    """A cluster whose nodes, pods and some of whose Services have addresses of both families."""

    snapshot = Snapshot.open(Path(__file__).parent / "recorded" / "clusters" / "dual-stack")

    def test_is_healthy(self):
        judged = list(evaluate(self.snapshot, load()))
        assert not [each for each in judged if each.outcome in (Outcome.FAIL, Outcome.ERROR)]
        assert not [each for each in judged if each.outcome is Outcome.WARN]
        assert sum(each.outcome is Outcome.PASS for each in judged) > 200

    def test_every_part_that_has_a_family_has_both(self):
        api = self.snapshot.api()
        assert all(len(node.spec.pod_cidrs) == 2 for node in api.nodes)
        families = {tuple(each.spec.ip_families) for each in api.services}
        assert ("IPv4", "IPv6") in families
        assert {each.address_type for each in api.endpoint_slices} == {"IPv4", "IPv6"}
        document = self.snapshot.document("wc-w1")
        assert "KUBE-SERVICES" in document.commands["ip6tables-nft-save"].output
        servers = {each.server for each in document.probes if each.tries[-1].answer}
        assert any(":" in server for server in servers)
        assert any(route.family == 6 for route in document.namespaces[0].routes)
        assert any(link.name == "flannel-v6.1" for link in document.namespaces[0].links)

    @pytest.mark.parametrize(
        ("check", "broken"),
        [
            ("routes.to_every_node", {"routes": lambda each: each.family == 4}),
            ("overlay.peers_complete", {"neighbours": lambda each: ":" not in each.address}),
        ],
    )
    def test_what_the_second_family_lacks_is_found(self, check, broken, monkeypatch):
        """As in the first one: each takes away everything of IPv6 of one kind."""
        document = self.snapshot.document("wc-w1")
        own, *others = document.namespaces
        changes = {key: [e for e in getattr(own, key) if keep(e)] for key, keep in broken.items()}
        changed = replace(document, namespaces=[replace(own, **changes), *others])
        monkeypatch.setattr(Snapshot, "document", lambda *_: changed)
        (entry,) = [each for each in load() if each.id == check]

        found = next(e for e in evaluate(self.snapshot, [entry], ["wc-w1"]) if e.node)
        assert found.outcome is Outcome.FAIL
        assert len(found.findings) == 2


def test_a_replay_gives_the_same_verdicts():
    assert items("broken") == items("broken")


@pytest.mark.parametrize("name", ["healthy", "broken"])
def test_nothing_secret_is_in_a_recorded_cluster(name: str):
    snapshot = Snapshot.open(RECORDED / name)
    texts = [(RECORDED / name / "snapshot.json").read_text(), repr(snapshot.api())]
    texts += [repr(snapshot.document(node)) for node in snapshot.index.looks[0].visits]

    assert not [secret for secret in SECRETS for text in texts if secret in text]


@pytest.mark.parametrize("check", load(), ids=lambda check: check.id)
def test_every_check_applies_to_the_recorded_cluster(check):
    """A check that is skipped everywhere is proven by nothing here."""
    if reason := NOT_THERE.get(check.id):
        pytest.skip(reason)

    assert Outcome.PASS in {e.outcome for e in once("healthy") if e.check == check.id}


def test_the_index_is_plain_json():
    for name in ("healthy", "broken"):
        index = json.loads(Path(RECORDED / name / "snapshot.json").read_text())
        assert index["format"] == 1
