"""Remedies: complete commands, with the names of the finding."""

import inspect
import re

import pytest

from testbed.record import RECORDED
from wirecheck.catalogue.registry import Check, load
from wirecheck.catalogue.remedies import STANDARD, filled, general, placeholders
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.results.records import FindingRecord
from wirecheck.snapshot.folder import Snapshot

DELETE = "Recreate it: `kubectl -n {namespace} delete pod {pod}`, then see {else}."
COMMAND = re.compile(r"`([^`]+)`")


def test_known_names_are_filled_in_and_others_stay_in_capitals():
    names = {"namespace": "shop", "pod": "web-0"}

    assert filled(DELETE, names) == (
        "Recreate it: `kubectl -n shop delete pod web-0`, then see ELSE."
    )
    assert general(DELETE) == "Recreate it: `kubectl -n NAMESPACE delete pod POD`, then see ELSE."
    assert placeholders(DELETE) == {"namespace", "pod", "else"}


def test_a_name_from_the_cluster_stays_one_word_of_the_shell():
    assert filled("`ip link show {device}`", {"device": "a; reboot"}) == (
        "`ip link show 'a; reboot'`"
    )


def test_several_arguments_are_quoted_one_by_one():
    names = {"route_arguments": "10.244.1.0 from 10.244.0.2 iif a;reboot"}
    assert filled("`ip route get {route_arguments}`", names) == (
        "`ip route get 10.244.1.0 from 10.244.0.2 iif 'a;reboot'`"
    )


@pytest.mark.parametrize(
    ("remedy", "finder"),
    [
        (
            "`kubectl -n kube-system delete pod {kube_proxy_pod}`.",
            "--field-selector spec.nodeName=w1",
        ),
        ("`kubectl logs {cni_pod}`.", "To find CNI_POD: `kubectl get pods -A"),
        ("`nsenter --net={netns} ip link`.", "To find NETNS, on w1: `lsns -t net"),
    ],
)
def test_a_name_that_is_not_known_comes_with_how_to_find_it(remedy, finder):
    (name,) = placeholders(remedy)

    assert finder in filled(remedy, {"node": "w1"})
    assert "To find" not in filled(remedy, {"node": "w1", name: "it"})
    assert "To find" not in general(remedy)


@pytest.mark.parametrize("text", ["{print $1}", "{.spec.podCIDRs}", '{range .items[*]}{"\\n"}'])
def test_other_braces_are_left_alone(text):
    assert general(text) == text
    assert not placeholders(text)


@pytest.mark.parametrize("check", load(), ids=lambda check: check.id)
class TestEveryRemedy:
    def test_has_a_command(self, check: Check):
        assert check.remedy.count("`") % 2 == 0
        assert COMMAND.search(check.remedy), "say what to run, in backticks"

    def test_uses_only_names_that_exist(self, check: Check):
        """Those of every finding, and those that the check's own findings give."""
        module = inspect.getsource(inspect.getmodule(check.function))
        own = set(re.findall(r'"([a-z_]+)": ', module))

        assert placeholders(check.remedy) <= STANDARD.keys() | own


@pytest.fixture(scope="module")
def findings() -> dict[tuple[str, str], list[FindingRecord]]:
    items = evaluate(Snapshot.open(RECORDED / "broken"), load())
    return {(item.check, item.node): item.findings for item in items if item.findings}


class TestTheBrokenCluster:
    """Findings of a recorded cluster give commands that can be pasted."""

    @pytest.mark.parametrize(
        ("check", "node", "command"),
        [
            (
                "pods.ip_on_interface",
                "wc-w1",
                "nsenter --net=/run/netns/cni-08808ebd-3fe4-5769-f7f3-cfa726f6e45d ip address show",
            ),
            (
                "pods.ip_on_interface",
                "wc-w1",
                "kubectl -n kube-flannel logs kube-flannel-ds-rsk66 --all-containers",
            ),
            (
                "services.no_stale_backends",
                "wc-w1",
                "kubectl -n kube-system delete pod kube-proxy-f9tq2",
            ),
            ("links.no_orphaned_veths", "wc-w2", "ip link delete wcorphan0"),
            ("services.nodes_agree", "", "kubectl -n shop describe service web"),
            (
                "dns.pods_resolve_tcp",
                "wc-w1",
                "nsenter --net=/run/netns/cni-08808ebd-3fe4-5769-f7f3-cfa726f6e45d dig +tcp +short "
                "kubernetes.default.svc.cluster.local A @10.96.0.10",
            ),
            ("reachability.health_check_node_ports", "wc-cp", "curl -i http://172.31.250.12:30093"),
        ],
    )
    def test_gives_commands_with_real_names(self, findings, check, node, command):
        remedies = [each.remedy for each in findings[check, node]]

        assert any(f"`{command}" in remedy for remedy in remedies), remedies

    def test_leaves_no_name_in_capitals_that_a_finding_knows(self, findings):
        unknown = re.compile(r"(?<![\w=:,])(?:NODE|NAMESPACE|POD|NETNS|SERVICE)\b")
        for (check, _), found in findings.items():
            if check == "policy.enforced":
                continue  # It is about all NetworkPolicies, and says how to look at any of them.
            assert not [each.remedy for each in found if unknown.search(each.remedy)]
