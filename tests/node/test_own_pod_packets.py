"""What one node and its own pods send to each other, and the rules that refuse it."""

from __future__ import annotations

import pytest

from tests.checks.small_cluster import FILTER, SmallCluster
from wirecheck.catalogue.findings import NotApplicable

CHECK = "firewall.accepts_own_pods"
ANSWERED = "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT"


def first(small: SmallCluster, *rules: str) -> None:
    """Put rules before all others."""
    text = FILTER.replace("-A INPUT -j", "".join(f"{each}\n" for each in rules) + "-A INPUT -j", 1)
    small.change_output("iptables-nft-save", text)


def with_api_server(small: SmallCluster, port: int = 6443, protocol: str = "TCP") -> None:
    """The API server's endpoint is on the node; its slice names no node, as on real clusters."""
    small.api["endpointSlices"].append(
        {
            "metadata": {
                "name": "kubernetes",
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["192.0.2.1"], "conditions": {"ready": True}}],
            "ports": [{"name": "https", "port": port, "protocol": protocol}],
        }
    )


def found(small: SmallCluster) -> list[tuple[str, str]]:
    return [(each.subject.part, each.evidence[0]) for each in small.findings(CHECK)]


@pytest.mark.parametrize(
    ("rule", "part"),
    [
        ("-A INPUT -i cni0 -j DROP", "INPUT from its pods"),
        ("-A INPUT -i cni+ -j REJECT --reject-with icmp-port-unreachable", "INPUT from its pods"),
        ("-A INPUT -s 10.244.0.0/16 -j DROP", "INPUT from its pods"),
        ("-A INPUT ! -i ens3 -j DROP", "INPUT from its pods"),
        ("-A INPUT -j DROP", "INPUT from its pods"),
        ("-A INPUT -m conntrack ! --ctstate NEW -j DROP", "INPUT from its pods"),
        ("-A OUTPUT -o cni0 -j DROP", "OUTPUT to its pods"),
        ("-A OUTPUT -d 10.244.0.0/24 -j DROP", "OUTPUT to its pods"),
        ("-A OUTPUT -d 10.0.0.0/8 -m owner --uid-owner 0 -j DROP", "OUTPUT to its pods"),
        ("-A OUTPUT -m addrtype --src-type LOCAL -j DROP", "OUTPUT to its pods"),
    ],
)
def test_probes_and_their_answers_that_a_rule_refuses_are_found(
    small: SmallCluster, rule: str, part: str
) -> None:
    first(small, rule)

    assert (part, rule) in found(small)


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [ANSWERED, "-A INPUT -i cni0 -j DROP"],
        ["-A INPUT -i ens3 -j DROP"],
        ["-A INPUT -i cni0 -m conntrack --ctstate NEW -j DROP"],
        ["-A INPUT -i cni0 -p tcp -m tcp --dport 10250 -j DROP"],
        ["-A INPUT -s 10.244.0.3/32 -j DROP"],
        ["-A INPUT -i cni0 -m set --match-set some src -j DROP"],
        ["-A OUTPUT -d 10.244.1.0/24 -j DROP"],
        ["-A OUTPUT -m owner --uid-owner 1000 -j DROP"],
        ["-A OUTPUT -m conntrack --ctstate INVALID -j DROP"],
        ["-A INPUT -i cni0 -j ACCEPT", "-A INPUT -j DROP"],
    ],
)
def test_rules_for_other_packets_change_nothing(small: SmallCluster, rules: list[str]) -> None:
    first(small, *rules)

    assert found(small) == []


def test_pods_that_cannot_reach_the_api_server_on_their_node_are_found(small: SmallCluster) -> None:
    with_api_server(small)
    rule = "-A INPUT -i cni0 -j DROP"
    first(small, ANSWERED, rule)

    (finding,) = small.findings(CHECK)
    assert finding.subject.part == "INPUT from its pods to default/kubernetes:https"
    assert finding.expected.endswith("default/kubernetes:https at 192.0.2.1:6443")
    assert finding.evidence == (rule,)


@pytest.mark.parametrize(
    ("rule", "is_found"),
    [
        ("-A INPUT -s 10.244.0.0/16 -p tcp -m tcp --dport 6443 -j DROP", True),
        ("-A INPUT -s 10.244.0.0/16 -p udp -j DROP", False),
        ("-A INPUT -s 10.244.0.0/16 -p tcp -m tcp --dport 10250 -j DROP", False),
        ("-A INPUT -s 10.244.0.0/16 -m conntrack --ctstate NEW -j DROP", True),
    ],
)
def test_only_rules_for_an_endpoint_of_a_service_count(
    small: SmallCluster, rule: str, *, is_found: bool
) -> None:
    with_api_server(small)
    first(small, rule)

    assert bool(found(small)) is is_found


def test_endpoints_of_other_nodes_do_not_count(small: SmallCluster) -> None:
    with_api_server(small)
    small.api["endpointSlices"][-1]["endpoints"][0]["addresses"] = ["192.0.2.2"]
    first(small, ANSWERED, "-A INPUT -i cni0 -j DROP")

    assert found(small) == []


def test_pods_that_a_policy_selects_are_not_tried(small: SmallCluster) -> None:
    first(small, "-A INPUT -i cni0 -j DROP")
    every = {"podSelector": {}, "policyTypes": ["Ingress"]}
    small.api["networkPolicies"] = [
        {"metadata": {"name": "all", "namespace": each}, "spec": every}
        for each in ("shop", "kube-system")
    ]

    with pytest.raises(NotApplicable, match="no policy restricts"):
        list(small.node.own_pod_packets.refused)
