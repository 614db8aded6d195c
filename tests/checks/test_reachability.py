"""The checks of reachability, each on a cluster where one connection is not made."""

import pytest

from tests.checks.small_cluster import WEB_NETNS
from wirecheck.findings import FactMissingError, NotApplicable

LOST = {"made": 0, "tries": 2, "error": "timeout"}
BY_PURPOSE = {
    "node": "nodes_reach_each_other",
    "pod": "pods_reach_pods_of_other_nodes",
    "messages": "large_messages_pass",
    "api": "the_api_server_is_reached",
    "same node": "services_reach_pods_of_the_same_node",
}


def policy(kind, **labels):
    return {
        "metadata": {"name": "deny", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": labels}, "policyTypes": [kind]},
    }


@pytest.mark.parametrize(("purpose", "check"), BY_PURPOSE.items())
def test_a_connection_that_is_not_made_is_found_by_its_check_alone(small, purpose, check):
    small.change_contacts(purpose, **LOST)

    found = {each: small.findings(f"reachability.{each}") for each in BY_PURPOSE.values()}

    assert {each for each, findings in found.items() if findings} == {check}


def test_a_finding_names_both_ends(small):
    small.change_contacts("node", **LOST)

    (finding,) = small.findings("reachability.nodes_reach_each_other")
    assert finding.subject.part == "from the node to Node n2 192.0.2.2:10250"
    assert finding.found == "timeout in 2 of 2 tries"


def test_messages_that_get_stuck_are_told_in_bytes(small):
    small.change_contacts("messages", **LOST, sent=30_000, received=0, replies=0)

    (finding,) = small.findings("reachability.large_messages_pass")
    assert "shop/web to Pod kube-system/dns (on the same node)" in str(finding.subject)
    assert finding.found == "0 answers, 0 bytes received and 30,000 handed over, then timeout"


def test_answers_without_padding_do_not_prove_the_way_back(small):
    small.change_contacts("messages", received=3_000)

    with pytest.raises(NotApplicable, match="as large"):
        small.findings("reachability.large_messages_pass")


def test_one_lost_hairpin_of_ten_counts(small):
    small.change_contacts("hairpin", made=5, error="timeout")

    (finding,) = small.findings("reachability.pods_reach_themselves_through_services")
    assert finding.found == "5 of 10, others: timeout"


def test_a_pod_behind_an_egress_policy_is_not_judged(small):
    small.api["networkPolicies"] = [policy("Egress", app="web")]
    small.change_contacts("api", **LOST)

    findings = small.findings("reachability.the_api_server_is_reached")
    assert [each.unless for each in findings] == ["", "NetworkPolicy shop/deny"]


def test_a_pod_behind_an_ingress_policy_is_not_judged(small):
    denied = policy("Ingress")
    denied["metadata"]["namespace"] = "kube-system"
    small.api["networkPolicies"] = [denied]
    small.change_contacts("messages", **LOST)

    (finding,) = small.findings("reachability.large_messages_pass")
    assert finding.unless == "NetworkPolicy kube-system/deny"


def test_what_nobody_measured_is_skipped_with_the_reason(small):
    small.change_document(contacts=None)

    for check in BY_PURPOSE.values():
        with pytest.raises(NotApplicable, match="not measured"):
            small.findings(f"reachability.{check}")


def test_a_connection_that_was_never_tried_is_an_error(small):
    small.change_contacts("node", made=0, tries=0)

    with pytest.raises(FactMissingError, match=r"limits\.node"):
        small.findings("reachability.nodes_reach_each_other")


def test_a_source_that_the_api_does_not_know_is_an_error(small):
    small.change_contacts("pod", source="gone", inode=WEB_NETNS)

    with pytest.raises(FactMissingError, match="gone"):
        small.findings("reachability.pods_reach_pods_of_other_nodes")


def test_endpoints_that_are_names_of_hosts_disturb_nothing(small):
    named = {
        "metadata": {
            "name": "outside-1",
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": "outside"},
        },
        "addressType": "FQDN",
        "endpoints": [{"addresses": ["db.example.com"]}],
    }
    small.api["endpointSlices"].append(named)

    assert small.findings("reachability.services_reach_pods_of_the_same_node") == []


@pytest.mark.parametrize("purpose", ["pod", "same node"])
def test_a_refusal_comes_from_the_pod_and_proves_the_way(small, purpose):
    small.change_contacts(purpose, made=0, tries=2, error="refused")

    assert small.findings(f"reachability.{BY_PURPOSE[purpose]}") == []
