"""What holds for every check of the catalogue."""

import inspect

import pytest

from wirecheck.catalogue.findings import Finding, NotApplicable
from wirecheck.catalogue.registry import Check, check, load

NEEDS_MORE_THAN_THE_SMALL_CLUSTER = (
    "services",
    "kube_proxy",
    "deprecations",
    "conntrack.limit_as_configured",
    "conntrack.no_stale_udp_entries",
    "conntrack.random_source_ports",
    "coredns",
    "dns.external_names",
    "dns.large_responses",
    "dns.node_local_cache",
    "reachability.large_payloads_",
    "settings.refreshed_by_calico",
    "settings.uniform_in_pool",
    "pods.network_daemons_ready",
    "pods.egress_masqueraded",
    "pods.egress_uniform",
    "reachability.node_ports",
    "reachability.local_node_ports",
    "reachability.health_check_node_ports",
    "reachability.host_ports",
    "cni.agent_responds",
    "cni.blocks_claimed",
    "cni.host_ports_mapped",
    "ebpf",
    "firewall.address_sets",
    "firewall.policy_chains",
    "links.unmanaged_by_networkmanager",
    "links.mac_policy",
    "nodes.no_doubled_addresses",
    "overlay.tunnels_alike",
    "paths.",
    "policy.",
    "routes.own_blocks",
    "routes.rules_safe_from_networkd",
)


@pytest.mark.parametrize("entry", load(), ids=lambda entry: entry.id)
class TestEveryCheck:
    def test_is_explained(self, entry: Check):
        assert entry.sentence.endswith(".")
        assert "\n" not in entry.sentence
        assert len(entry.why.split()) > 5
        assert entry.remedy

    def test_is_quick_to_read(self, entry: Check):
        body = inspect.getsource(entry.function).partition('"""\n')[2]
        assert len(body.splitlines()) <= 26, "a concept is missing in the model"

    def test_finds_nothing_on_a_healthy_cluster(self, entry: Check, small):
        if entry.id.startswith(NEEDS_MORE_THAN_THE_SMALL_CLUSTER):
            pytest.skip("judged on recorded clusters, or on the small one with what they need")
        try:
            assert small.findings(entry.id) == []
        except NotApplicable:
            pytest.fail("a check that does not apply here proves nothing here")

    def test_counts_if_it_says_what_it_decided(self, entry: Check, small):
        """Without the count a run in which all objects are inconclusive would pass."""
        if entry.id.startswith((*NEEDS_MORE_THAN_THE_SMALL_CLUSTER, "dns.records_correct")):
            pytest.skip("judged on recorded clusters, or on the small one with what they need")
        subject = small.node if entry.scope == "node" else small.cluster
        decided = [each for each in entry.function(subject) if not isinstance(each, Finding)]

        assert bool(decided) is entry.counts


def test_a_check_without_a_reason_is_refused():
    def holds(node):
        """A sentence alone."""
        yield Finding(node, expected="", found="")

    with pytest.raises(TypeError, match="needs a sentence, a reason and a remedy"):
        check(remedy="Do something.")(holds)


def test_a_check_of_something_unknown_is_refused():
    def holds(pod):
        """A sentence.

        And why it matters to anybody.
        """
        yield Finding(pod, expected="", found="")

    with pytest.raises(TypeError, match="`node` or `cluster`"):
        check(remedy="Do something.")(holds)


NOT_COUNTED = {
    "cni.host_ports_mapped": "the rules of the node are evaluated, also without a host port",
    "conntrack.no_table_full_logged": "the rest of the log is evaluated",
    "dns.kubelet_cluster_dns": "each setting is compared by itself",
    "firewall.accepts_own_pods": "the rules that were read are evaluated",
    "firewall.address_sets": "many healthy nodes have no ipset, and no set is known there",
    "firewall.forwards_dns": "the rules that were read are evaluated",
    "firewall.forwards_pods": "the rules that were read are evaluated",
    "nodes.kernel_log": "the rest of the log is evaluated",
    "overlay.matches_annotations": "the MAC is compared as well",
    "overlay.mtu": "all other devices are compared",
    "pods.addresses_kept": "the rules that were read are evaluated",
    "pods.device_programs": "interfaces without programs are evaluated",
    "routes.no_blackholes": "all other destinations are evaluated",
    "routes.no_overlap": "all other devices are evaluated",
    "services.nodes_agree": "connections of all other clients are compared",
    "settings.rp_filter": "all other interfaces are evaluated",
}
"""Checks that have inconclusive objects, but evaluate a node as a whole."""


def test_a_check_counts_what_it_decides_or_evaluates_more_than_objects():
    inconclusive = {
        each.id
        for each in load()
        if "inconclusive=" in inspect.getsource(each.function) and not each.counts
    }
    assert inconclusive <= NOT_COUNTED.keys()
    counting = [each for each in load() if each.counts]
    assert len(counting) >= 20
    assert not NOT_COUNTED.keys() & {each.id for each in counting}
