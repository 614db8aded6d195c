"""Further faults of clusters with Cilium, each one change to a recording of a healthy one."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.changed_recordings import Document, changed, found, items
from tests.test_network_recordings import FOLDER

ALONE, BESIDE = "cilium-healthy", "cilium-beside-kube-proxy"
FROM_POD = "cil_from_contai"
NODE = "td-w1"
BY_MAPS = "which Cilium forwards by its eBPF maps"
OF_RULES = (
    *("services.rules_reachable", "services.frontends_programmed", "services.no_stale_backends"),
    *("services.backends_programmed", "services.refused_or_dropped"),
)


@pytest.fixture
def with_change(tmp_path) -> Callable[..., Path]:
    """Makes a copy of a recording with a change to the document of one node."""

    def make(recording: str, change: Callable[[Document], None]) -> Path:
        def only_there(name: str, document: Document) -> None:
            if name == NODE:
                change(document)

        return changed(FOLDER / recording, tmp_path, only_there)

    return make


def host(document: Document) -> dict[str, Any]:
    """The node's own netns."""
    return document["namespaces"][0]


def of_pods(document: Document) -> list[dict[str, Any]]:
    """The programs on pods' devices; the endpoint of Cilium's own health checks is not a pod."""
    names = {each["index"]: each["name"] for each in host(document)["links"]}
    return [
        each
        for each in host(document)["programs"]
        if each["name"] == FROM_POD and names[each["index"]] != "lxc_health"
    ]


class TestAttached:
    def test_the_healthy_nodes_are_evaluated(self):
        results = items(FOLDER / ALONE, "links.attached")
        assert {(each.node, str(each.outcome)) for each in results} == {
            (node, "pass") for node in ("td-cp", "td-w1", "td-w2")
        }
        assert not [each for each in results if each.unjudged]

    def test_each_pod_without_the_program_is_found(self, with_change):
        def change(document):
            lost = of_pods(document)[:2]
            host(document)["programs"] = [e for e in host(document)["programs"] if e not in lost]

        findings = found(with_change(ALONE, change), "links.attached")
        assert [node for node, _, _ in findings] == [NODE, NODE]
        assert all(
            where.startswith("Pod ") and "no such program" in what for _, where, what in findings
        )

    def test_another_program_does_not_count(self, with_change):
        def change(document):
            of_pods(document)[0]["name"] = "shaper"

        assert len(found(with_change(ALONE, change), "links.attached")) == 1

    @pytest.mark.parametrize("name", ["bpf_lxc.o:[from-container]", "cil_from_container-lxc1"])
    def test_names_of_other_versions_count(self, with_change, name):
        def change(document):
            of_pods(document)[0].update(name=name, hook="tc ingress")

        assert found(with_change(ALONE, change), "links.attached") == []

    def test_a_node_without_any_is_one_finding(self, with_change):
        def change(document):
            host(document)["programs"] = []

        ((node, where, what),) = found(with_change(ALONE, change), "links.attached")
        assert (node, where) == (NODE, f"Node {NODE} programs of pods' devices")
        assert what.startswith("no such program on 13 devices of pods: ")

    def test_netkit_devices_without_any_are_left_out(self, with_change):
        def change(document):
            host(document)["programs"] = []
            for each in host(document)["links"]:
                each["kind"] = "netkit" if each["name"][:3] == "lxc" else each.get("kind", "")

        results = items(with_change(ALONE, change), "links.attached")
        (result,) = [each for each in results if each.node == NODE]
        assert result.reason == "no netkit device of a pod shows a program of Cilium"

    def test_a_recording_without_programs_says_so(self, with_change):
        def change(document):
            for each in document["namespaces"]:
                del each["programs"]

        results = items(with_change(ALONE, change), "links.attached")
        (result,) = [each for each in results if each.node == NODE]
        assert str(result.outcome) == "skip"
        assert result.reason.endswith("the programs on their devices were not read")

    def test_a_pod_that_is_still_on_a_bridge_does_not_count(self, with_change):
        def change(document):
            lost = of_pods(document)[0]
            host(document)["programs"].remove(lost)
            link = next(e for e in host(document)["links"] if e["index"] == lost["index"])
            host(document)["links"].append({**link, "index": 99, "name": "cni0", "kind": "bridge"})
            link["master"] = 99

        assert found(with_change(ALONE, change), "links.attached") == []

    def test_a_pod_from_before_cilium_does_not_count(self, with_change):
        def change(document):
            lost = of_pods(document)[0]
            host(document)["programs"].remove(lost)
            link = next(e for e in host(document)["links"] if e["index"] == lost["index"])
            link["name"] = "veth0a1b2c3d"

        assert found(with_change(ALONE, change), "links.attached") == []


class TestDoubled:
    @pytest.mark.parametrize(
        ("name", "hook"),
        [
            (FROM_POD, "tc ingress"),
            (FROM_POD, "tcx ingress"),
            ("bpf_lxc.o:[from-container]", "tc ingress"),
        ],
    )
    def test_a_program_of_an_earlier_version_beside_its_successor_is_found(
        self, with_change, name, hook
    ):
        def change(document):
            first = of_pods(document)[0]
            host(document)["programs"].append({**first, "name": name, "hook": hook, "id": 7})

        ((node, where, what),) = found(with_change(ALONE, change), "pods.device_programs")
        assert (node, where) == (NODE, f"Node {NODE} program {FROM_POD} (ingress)")
        assert what.startswith(f"program {FROM_POD} 2 times at ingress of lxc")

    def test_devices_with_the_same_are_one_finding(self, with_change):
        def change(document):
            twice = [{**each, "hook": "tc ingress"} for each in of_pods(document)]
            host(document)["programs"] += twice

        ((_, _, what),) = found(with_change(ALONE, change), "pods.device_programs")
        assert " more" in what

    def test_both_directions_have_one_each(self, with_change):
        def change(document):
            one = of_pods(document)[0]
            other = {**one, "name": "cil_to_containe", "hook": "tcx egress"}
            host(document)["programs"].append(other)

        assert found(with_change(ALONE, change), "pods.device_programs") == []


class TestBesideKubeProxy:
    def test_a_rule_that_only_concerns_pods_is_not_compared(self, with_change):
        def change(document):
            save = document["commands"]["iptables-nft-save"]
            before = save["output"]
            hook = (
                '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
            )
            drop = "-A PREROUTING -s 10.244.1.0/24 -d 10.96.0.0/12 -j ACCEPT"
            save["output"] = before.replace(hook, f"{drop}\n{hook}")
            assert save["output"] != before

        assert found(with_change(BESIDE, change), *OF_RULES) == []

    def test_the_same_rule_is_found_without_cilium(self, with_change):
        def change(document):
            save = document["commands"]["iptables-nft-save"]
            hook = (
                '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES'
            )
            drop = "-A PREROUTING -s 10.244.1.0/24 -d 10.96.0.0/12 -j ACCEPT"
            save["output"] = save["output"].replace(hook, f"{drop}\n{hook}")

        assert found(with_change("kind-healthy", change), *OF_RULES) != []

    def test_what_nodes_meet_is_still_compared(self, with_change):
        def change(document):
            save = document["commands"]["iptables-nft-save"]
            lines = save["output"].split("\n")
            gone = next(e for e in lines if "-A KUBE-SERVICES" in e and "shop/web:http" in e)
            save["output"] = save["output"].replace(gone + "\n", "")

        findings = found(with_change(BESIDE, change), "services.frontends_programmed")
        assert {(node, where.split()[1]) for node, where, _ in findings} == {(NODE, "shop/web")}

    def test_node_ports_of_pods_are_still_compared(self, with_change):
        def change(document):
            save = document["commands"]["iptables-nft-save"]
            lines = save["output"].split("\n")
            gone = [e for e in lines if "-A KUBE-NODEPORTS" in e and "shop/web-nodeport:http" in e]
            for each in gone:
                save["output"] = save["output"].replace(each + "\n", "")

        results = items(with_change(BESIDE, change), "services.frontends_programmed")
        texts = [f.expected for each in results for f in each.findings]
        assert len(texts) == 1
        assert "every client" in texts[0] or "pods on this node" in texts[0]

    def test_a_frontend_that_no_service_has_is_found_for_pods_too(self, with_change):
        def change(document):
            save = document["commands"]["iptables-nft-save"]
            lines = save["output"].split("\n")
            at = next(
                n for n, e in enumerate(lines) if "-A KUBE-SERVICES" in e and "shop/web:" in e
            )
            stale = re.sub(r"-d [0-9.]+/32", "-d 10.96.255.77/32", lines[at])
            save["output"] = "\n".join([*lines[:at], stale, *lines[at:]])

        results = items(with_change(BESIDE, change), "services.no_stale_frontends")
        ((finding,),) = [each.findings for each in results if each.findings]
        assert "10.96.255.77" in str(finding.object)
        assert "every client" in finding.expected or "pods on this node" in finding.expected

    def test_an_old_recording_without_programs_is_inconclusive_too(self, with_change):
        def change(document):
            for each in document["namespaces"]:
                del each["programs"]

        results = items(with_change(BESIDE, change), "services.backends_programmed")
        assert all(any(BY_MAPS in why for why in each.unjudged) for each in results)

    def test_devices_that_cilium_left_behind_do_not_count(self, with_change):
        def change(document):
            host(document)["programs"] = []

        results = items(with_change(BESIDE, change), "services.backends_programmed")
        assert [each.node for each in results if not each.unjudged] == [NODE]

    def test_one_program_forwards_services(self):
        assert found(FOLDER / BESIDE, "kube_proxy.alone") == []


class TestReplacement:
    SECOND = "cilium-and-a-second-kube-proxy"

    def test_kube_proxy_forwards_where_the_agent_did_not_run(self, with_change):
        def change(document):
            own = host(document)
            own["programs"] = []
            own["links"] = [each for each in own["links"] if "cilium_" not in each["name"]]

        folder = with_change(self.SECOND, change)
        outcomes = {e.node: str(e.outcome) for e in items(folder, "services.backends_programmed")}
        assert outcomes == {"td-cp": "skip", "td-w1": "pass", "td-w2": "skip"}
        alone = {e.node: str(e.outcome) for e in items(folder, "kube_proxy.alone")}
        assert alone == {"td-cp": "warn", "td-w1": "pass", "td-w2": "warn"}

    def test_the_setting_counts_where_kube_proxy_does_not_answer(self, with_change):
        def change(document):
            own = host(document)
            own["links"] = [each for each in own["links"] if "cilium_" not in each["name"]]

        results = items(with_change(ALONE, change), "services.backends_programmed")
        assert {str(each.outcome) for each in results} == {"skip"}
