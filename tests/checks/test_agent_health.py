"""Agents of CNI plugins that do not answer although their pods are Ready."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.changed_recordings import Document, changed, found, items
from wirecheck.catalogue.findings import Outcome
from wirecheck.network.registry import PLUGIN_NAMES
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.redact import redact

RECORDED = Path(__file__).parents[1] / "recorded"
CILIUM, BESIDE = (
    RECORDED / "networks/cilium-healthy",
    RECORDED / "networks/cilium-beside-kube-proxy",
)
CALICO, ROUTER = RECORDED / "calico/healthy-iptables", RECORDED / "networks/kube-router-healthy"
CHECK = "cni.agent_responds"
OF_CILIUM, OF_CALICO, OF_ROUTER = "9879/healthz", "9099/readiness", "20244/healthz"
HUNG, OK = {"error": "timed out"}, {"status": 200, "body": "ok"}
Make = Callable[..., Path]


@pytest.fixture
def with_answers(tmp_path: Path) -> Make:
    """A copy of a recording in which the agent of one node answers this, and the others `ok`."""

    def make(recording: Path, agent: str, node: str, answer: Document | None) -> Path:
        def on_node(name: str, document: Document) -> None:
            document["agents"] = {agent: answer if name == node else OK}
            if document["agents"][agent] is None:
                document["agents"] = {}

        return changed(recording, tmp_path, on_node)

    return make


@pytest.mark.parametrize(
    ("recording", "agent", "node", "pod"),
    [
        (CILIUM, OF_CILIUM, "td-w1", "cilium-"),
        (BESIDE, OF_CILIUM, "td-w1", "cilium-"),
        (CALICO, OF_CALICO, "tb-w1", "calico-node-"),
        (ROUTER, OF_ROUTER, "td-w1", "kube-router-"),
    ],
)
def test_a_hung_agent_is_named(
    with_answers: Make, recording: Path, agent: str, node: str, pod: str
) -> None:
    folder = with_answers(recording, agent, node, HUNG)

    ((where, what, text),) = found(folder, CHECK)
    assert where == node
    assert f"/{pod}" in what
    assert text == "it accepts connections and does not answer"
    results = {each.node: each for each in items(folder, CHECK)}
    assert {each.outcome for name, each in results.items() if name != node} == {Outcome.PASS}
    assert f" delete pod {pod}" in results[node].findings[0].remedy


def test_an_agent_that_reports_an_error_shows_it(with_answers: Make) -> None:
    answer = {"status": 503, "body": "felix is not ready: dataplane\nand more\n"}
    folder = with_answers(CALICO, OF_CALICO, "tb-w1", answer)

    (item,) = [each for each in items(folder, CHECK) if each.findings]
    assert item.findings[0].found == "HTTP 503"
    assert item.findings[0].evidence[0] == "felix is not ready: dataplane"


@pytest.mark.parametrize("answer", [OK, None, {"error": "no HTTP answer"}])
def test_what_another_program_may_answer_is_no_failure(with_answers: Make, answer: Any) -> None:
    assert found(with_answers(CALICO, OF_CALICO, "tb-w1", answer), CHECK) == []


def test_where_no_agent_was_asked_the_check_does_not_apply(with_answers: Make) -> None:
    folder = with_answers(CALICO, OF_CALICO, "tb-w1", None)

    (item,) = [each for each in items(folder, CHECK) if each.node == "tb-w1"]
    assert item.outcome is Outcome.SKIP
    assert "no agent of a CNI plugin answers health checks" in item.reason


def test_the_answer_of_another_plugins_agent_does_not_count(with_answers: Make) -> None:
    assert found(with_answers(CALICO, OF_CILIUM, "tb-w1", HUNG), CHECK) == []


def test_an_agent_that_is_not_ready_is_reported_by_another_check(with_answers: Make) -> None:
    folder = with_answers(CILIUM, OF_CILIUM, "td-w1", HUNG)
    api = folder / "look-1" / "api.json.gz"
    objects = Snapshot.open(folder).api(1)
    for pod in objects.pods:
        if pod.metadata.name.startswith("cilium-") and pod.spec.node_name == "td-w1":
            pod.status.conditions[:] = [
                msgspec.structs.replace(each, status="False") for each in pod.status.conditions
            ]
    api.write_bytes(gzip.compress(msgspec.json.encode(objects)))

    assert found(folder, CHECK) == []
    assert [each[0] for each in found(folder, "cni.agent_ready")] == ["td-w1"]


def silent(document: Document, ports: set[int]) -> None:
    """The node gets no answer from its own health check ports."""
    own = {each["address"] for each in document["namespaces"][0]["addresses"]}
    for each in document["contacts"]:
        if each["purpose"] == "health check" and each["address"] in own and each["port"] in ports:
            each.update(made=0, error="timeout", tries=2)
            each.pop("status")


def health_check_ports(document: Document) -> set[int]:
    return {each["port"] for each in document["contacts"] if each["purpose"] == "health check"}


def test_a_forwarder_that_load_balancers_get_no_answer_from_hangs(tmp_path: Path) -> None:
    def on_node(name: str, document: Document) -> None:
        if name == "td-w2":
            silent(document, health_check_ports(document))

    ((node, what, text),) = found(changed(CILIUM, tmp_path, on_node), CHECK)
    assert node == "td-w2"
    assert what.startswith("Pod kube-system/cilium-")
    assert text.startswith("timeout from the node to health checks of Service ")


def test_a_health_check_port_that_refuses_is_not_a_hung_agent(tmp_path: Path) -> None:
    def on_node(name: str, document: Document) -> None:
        if name == "td-w2":
            silent(document, health_check_ports(document))
            for each in document["contacts"]:
                if each.get("error") == "timeout":
                    each["error"] = "refused"

    assert found(changed(CILIUM, tmp_path, on_node), CHECK) == []


def test_its_own_health_port_says_more_than_that_of_load_balancers(tmp_path: Path) -> None:
    """A filter in front of the port can drop health checks, and the agent is well."""

    def on_node(name: str, document: Document) -> None:
        document["agents"] = {OF_CILIUM: OK}
        if name == "td-w2":
            silent(document, health_check_ports(document))

    assert found(changed(CILIUM, tmp_path, on_node), CHECK) == []


def test_beside_kube_proxy_health_checks_say_nothing_about_the_agent(tmp_path: Path) -> None:
    def on_node(_: str, document: Document) -> None:
        silent(document, health_check_ports(document))

    assert found(changed(BESIDE, tmp_path, on_node), CHECK) == []


def test_a_redacted_snapshot_gives_the_same_result(
    with_answers: Make, tmp_path_factory: pytest.TempPathFactory
) -> None:
    answer = {"status": 503, "body": "node tb-w1: dataplane at 172.30.0.11 is not ready\n"}
    folder = with_answers(CALICO, OF_CALICO, "tb-w1", answer)
    copy = tmp_path_factory.mktemp("redacted")
    dictionary = redact(Snapshot.open(folder), copy, PLUGIN_NAMES)

    (item,) = [each for each in items(copy, CHECK) if each.findings]
    assert item.node == dictionary.nodes["tb-w1"]
    assert "172.30.0.11" not in item.findings[0].evidence[0]
    assert "tb-w1" not in item.findings[0].evidence[0]
