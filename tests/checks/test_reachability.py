"""The checks of reachability, each on a cluster where one connection is not made."""

import pytest

from tests.checks.helped_cluster import helped_cluster
from tests.checks.small_cluster import WEB_NETNS, SmallCluster
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.catalogue.registry import load
from wirecheck.snapshot.index import HelperPodsRecord, VisitRecord, VisitStatus

LOST = {"made": 0, "tries": 2, "error": "timeout"}
BY_PURPOSE = {
    "node": "node_to_node",
    "pod": "pod_to_pod",
    "messages": "large_payloads",
    "api": "api_server",
    "same node": "service_same_node",
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

    (finding,) = small.findings("reachability.node_to_node")
    assert finding.subject.part == "from the node to Node n2 192.0.2.2:10250"
    assert finding.found == "timeout in 2 of 2 tries"


def kubelets_port(small: SmallCluster) -> str:
    """Why the failure is inconclusive; empty where it counts."""
    small.change_contacts("node", **LOST)
    (finding,) = small.findings("reachability.node_to_node")
    return finding.inconclusive


class TestKubeletsPort:
    """Hardened nodes let only the control plane connect to the kubelet."""

    def test_a_pod_of_the_node_that_is_reached_shows_a_firewall(self, small):
        assert "the node is reached" in kubelets_port(small)

    @pytest.mark.parametrize("error", ["refused", "timeout"])
    def test_another_port_of_the_node_shows_a_firewall_if_anything_answers(self, small, error):
        small.change_contacts("pod", address="192.0.2.2", made=0, error=error)
        assert bool(kubelets_port(small)) is (error == "refused")

    def test_a_pod_is_known_by_the_api_where_no_range_shows_its_node(self, small):
        pod = dict(small.api["pods"][1], metadata={"name": "there", "namespace": "shop"})
        pod["spec"] = {"nodeName": "n2", "containers": []}
        pod["status"] = {"phase": "Running", "podIPs": [{"ip": "198.51.100.9"}]}
        small.api["pods"].append(pod)
        small.change_contacts("pod", address="198.51.100.9")
        assert "the node is reached" in kubelets_port(small)

    def test_a_node_that_nothing_reaches_is_found(self, small):
        small.change_contacts("pod", **LOST)
        small.others["n2"] = VisitRecord(VisitStatus.SEEN)
        assert kubelets_port(small) == ""

    def test_a_node_that_was_visited_and_to_which_nothing_else_was_tried(self, small):
        kept = [each for each in small.document.contacts if each.purpose != "pod"]
        small.change_document(contacts=kept)
        assert kubelets_port(small) == ""

        small.others["n2"] = VisitRecord(VisitStatus.SEEN)
        assert "nothing else was tried" in kubelets_port(small)

        small.others["n2"] = VisitRecord(VisitStatus.UNREACHABLE)
        assert kubelets_port(small) == ""

    def test_the_control_plane_needs_the_port(self, small):
        small.api["nodes"][0]["metadata"]["labels"] = {"node-role.kubernetes.io/control-plane": ""}
        assert kubelets_port(small) == ""

    def test_a_ready_node_that_refuses_is_reached(self, small):
        small.change_contacts("pod", **LOST)
        small.change_contacts("node", made=0, tries=2, error="refused")
        (finding,) = small.findings("reachability.node_to_node")
        assert "the node is reached" in finding.inconclusive

        small.api["nodes"][1]["status"]["conditions"] = [{"type": "Ready", "status": "Unknown"}]
        (finding,) = small.findings("reachability.node_to_node")
        assert finding.inconclusive == ""

    def test_an_address_of_a_pod_is_not_the_nodes(self, small):
        small.change_contacts("pod", **LOST)
        small.api["pods"][1]["status"]["podIPs"] = [{"ip": "192.0.2.2"}]
        assert "those of pods" in kubelets_port(small)


def test_messages_that_get_stuck_are_reported_in_bytes(small):
    small.change_contacts("messages", **LOST, sent=30_000, received=0, replies=0)

    (finding,) = small.findings("reachability.large_payloads")
    assert "shop/web to Pod kube-system/dns (on the same node)" in str(finding.subject)
    assert finding.found == "0 answers, 0 bytes received and 30,000 sent, then timeout"


def test_answers_without_padding_do_not_prove_the_way_back(small):
    small.change_contacts("messages", received=3_000)

    with pytest.raises(NotApplicable, match="of that size"):
        small.findings("reachability.large_payloads")


def test_one_lost_hairpin_of_ten_counts(small):
    small.change_contacts("hairpin", made=5, error="timeout")

    (finding,) = small.findings("reachability.service_hairpin")
    assert finding.found == "5 of 10, others: timeout"


def test_a_pod_behind_an_egress_policy_is_not_evaluated(small):
    small.api["networkPolicies"] = [policy("Egress", app="web")]
    small.change_contacts("api", **LOST)

    findings = small.findings("reachability.api_server")
    assert [each.inconclusive for each in findings] == ["", "NetworkPolicy shop/deny"]


def test_a_pod_behind_an_ingress_policy_is_not_evaluated(small):
    denied = policy("Ingress")
    denied["metadata"]["namespace"] = "kube-system"
    small.api["networkPolicies"] = [denied]
    small.change_contacts("messages", **LOST)

    (finding,) = small.findings("reachability.large_payloads")
    assert finding.inconclusive == "NetworkPolicy kube-system/deny"


@pytest.mark.parametrize(
    ("ports", "peer", "inconclusive"),
    [
        ([{"port": 53}], {"namespaceSelector": {}}, ""),
        ([{"port": 1, "endPort": 1000}], {"namespaceSelector": {}, "podSelector": {}}, ""),
        ([{"port": 53, "protocol": "UDP"}], {"namespaceSelector": {}}, "kube-system/deny"),
        ([{"port": 53}], {"podSelector": {}}, "kube-system/deny"),
        ([{"port": 53}], {"ipBlock": {"cidr": "0.0.0.0/0"}}, "kube-system/deny"),
    ],
)
def test_a_lost_connection_that_policies_allow_counts(small, ports, peer, inconclusive):
    allowed = policy("Ingress")
    allowed["metadata"]["namespace"] = "kube-system"
    allowed["spec"]["ingress"] = [{"from": [peer], "ports": ports}]
    small.api.update(networkPolicies=[allowed], policyRulesRead=True)
    small.change_contacts("messages", **LOST)

    (finding,) = small.findings("reachability.large_payloads")
    assert finding.inconclusive.removeprefix("NetworkPolicy ") == inconclusive


def test_what_was_not_measured_is_skipped_with_the_reason(small):
    small.change_document(contacts=None)

    for check in BY_PURPOSE.values():
        with pytest.raises(NotApplicable, match="no TCP connections were made"):
            small.findings(f"reachability.{check}")


def test_a_connection_that_was_never_tried_is_an_error(small):
    small.change_contacts("node", made=0, tries=0)

    with pytest.raises(FactMissingError, match=r"limits\.node"):
        small.findings("reachability.node_to_node")


def test_a_source_that_the_api_does_not_know_is_an_error(small):
    small.change_contacts("pod", source="gone", inode=WEB_NETNS)

    with pytest.raises(FactMissingError, match="gone"):
        small.findings("reachability.pod_to_pod")


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

    assert small.findings("reachability.service_same_node") == []


@pytest.mark.parametrize("purpose", ["pod", "same node"])
def test_a_refusal_comes_from_the_pod_and_proves_the_way(small, purpose):
    small.change_contacts(purpose, made=0, tries=2, error="refused")

    assert small.findings(f"reachability.{BY_PURPOSE[purpose]}") == []


ACROSS = "reachability.large_payloads_between_nodes"
WITHIN = "reachability.large_payloads_within_node"


@pytest.fixture
def helped():
    return helped_cluster()


def test_large_messages_that_come_back_are_well(helped):
    assert helped.findings(ACROSS) == helped.findings(WITHIN) == []


@pytest.mark.parametrize(
    ("purpose", "check", "ends"),
    [
        ("helper", ACROSS, {"from the node", "from the helper pod"}),
        ("own helper", WITHIN, {"from the node", "from shop/web"}),
    ],
)
def test_large_messages_that_get_stuck_are_found_by_their_check_alone(helped, purpose, check, ends):
    helped.change_contacts(purpose, **LOST, sent=30_000, received=0, replies=0)

    found = {each: helped.findings(each) for each in (ACROSS, WITHIN)}
    assert {each for each, findings in found.items() if findings} == {check}
    parts = {each.subject.part for each in found[check]}
    there = "on n2" if purpose == "helper" else "on the same node"
    assert parts == {f"{start} to the helper pod {there} by IPv4" for start in ends}


def test_without_helper_pods_they_are_skipped_with_the_reason(small):
    for check in (ACROSS, WITHIN):
        with pytest.raises(NotApplicable, match="--helper-pods"):
            small.findings(check)


def test_a_node_whose_helper_pod_did_not_start_is_an_error_there(helped):
    del helped.api["pods"][-2]
    helped.change_document(
        contacts=[each for each in helped.document.contacts if each.purpose == "helper"][:1]
    )
    helped.helper_pods = HelperPodsRecord("run-1", {"n1": "No image.", "n2": ""})

    for check in (ACROSS, WITHIN):
        with pytest.raises(FactMissingError, match=r"No image\."):
            helped.findings(check)


def test_a_node_whose_helper_pod_did_not_start_is_counted_elsewhere(helped):
    api_node = {**helped.api["nodes"][1], "metadata": {"name": "n3", "uid": "node-n3"}}
    helped.api["nodes"].append(api_node)
    helped.helper_pods = HelperPodsRecord("run-1", {"n1": "", "n2": "", "n3": "No image."})

    (finding,) = helped.findings(ACROSS)
    assert finding.inconclusive == "no helper pod on n3"


def test_where_nothing_could_be_sent_to_nothing_passes(helped):
    del helped.api["pods"][-1]
    helped.change_document(
        contacts=[each for each in helped.document.contacts if each.purpose != "helper"]
    )
    helped.helper_pods = HelperPodsRecord("run-1", {"n1": "", "n2": "No image."})

    with pytest.raises(FactMissingError, match=r"no helper pod to connect to\. No image\."):
        helped.findings(ACROSS)


def test_a_helper_pod_that_ended_meanwhile_is_an_error(helped):
    helped.api["pods"][-2]["status"]["conditions"] = []

    with pytest.raises(FactMissingError, match="terminated before it could be used"):
        helped.findings(WITHIN)


@pytest.mark.parametrize("left", [(), ("",)])
def test_a_helper_pod_whose_processes_were_not_found_is_an_error(helped, left):
    helped.change_document(
        contacts=[
            each
            for each in helped.document.contacts
            if each.purpose == "helper" and each.source in left
        ]
    )

    with pytest.raises(FactMissingError, match="No message was sent to or from the helper pod"):
        helped.findings(ACROSS)


def test_messages_within_the_node_that_were_not_sent_are_an_error(helped):
    helped.change_document(contacts=[])

    with pytest.raises(FactMissingError, match="No message was sent to or from the helper pod"):
        helped.findings(WITHIN)


def test_a_single_node_has_no_other_node_to_send_to(helped):
    del helped.api["nodes"][1:], helped.api["pods"][-1]
    helped.change_document(
        contacts=[each for each in helped.document.contacts if each.purpose != "helper"]
    )
    helped.helper_pods = HelperPodsRecord("run-1", {"n1": ""})

    with pytest.raises(NotApplicable, match="no other node"):
        helped.findings(ACROSS)


def test_a_node_that_was_to_have_none_has_nothing_within(helped):
    del helped.api["pods"][-2]
    helped.change_document(contacts=[])
    helped.helper_pods = HelperPodsRecord("run-1", {"n2": ""})

    with pytest.raises(NotApplicable, match="was requested for the node"):
        helped.findings(WITHIN)


def test_a_policy_of_the_helper_pods_namespace_is_named(helped):
    denied = policy("Ingress")
    denied["metadata"]["namespace"] = "helpers"
    helped.api["networkPolicies"] = [denied]
    helped.change_contacts("own helper", **LOST)

    assert {each.inconclusive for each in helped.findings(WITHIN)} == {"NetworkPolicy helpers/deny"}


def test_no_other_check_evaluates_helper_pods(helped):
    """One that is set up badly, resolves nothing and has an address of another's range."""
    helped.change_netns(103, addresses=[], links=[], routes=[])
    helped.api["pods"][-2]["status"]["podIPs"] = [{"ip": "10.244.0.3"}]

    for entry in load():
        if entry.id not in (ACROSS, WITHIN):
            assert said(helped, entry.id) == said(SmallCluster(), entry.id), entry.id
    assert [pod.name for pod in helped.cluster.pods] == ["dns", "web", "flannel"]


def said(cluster, check):
    """What a check finds, or why it does not."""
    try:
        return cluster.findings(check)
    except (FactMissingError, NotApplicable) as reason:
        return str(reason)
