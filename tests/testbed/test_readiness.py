import json
from typing import Any

import pytest

from testbed import nodes, readiness
from testbed.commands import Ended, StoppedByUserError, TestbedError


@pytest.fixture
def on_nodes(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    said: dict[str, str] = {}

    def run(node: str, *_: object, **__: object) -> Ended:
        return Ended(0, said[node], "")

    monkeypatch.setattr(nodes, "run", run)
    monkeypatch.setattr(readiness, "kubectl", lambda *_: "daemonset.apps/kube-proxy\n")
    return said


def test_kube_proxys_health_is_asked_for_only_where_there_is_a_kube_proxy(
    on_nodes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "kubectl", lambda *_: "")
    on_nodes.update({"wc-w1": "000\n10.96.0.1\n10.96.0.1\n", "wc-w2": "000\n\n10.96.0.1\n"})

    (found,) = readiness.unprogrammed(["wc-w1", "wc-w2"])
    assert "over UDP at 10.96.0.10 on wc-w2" in found


def test_a_kube_proxy_inside_k3s_has_no_pod_and_must_be_healthy_too(
    on_nodes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "kubectl", lambda *_: "")
    answers = "10.96.0.1\n10.96.0.1\nkube-proxy is a part of k3s\n"
    on_nodes.update({"wc-w1": f"200\n{answers}", "wc-w2": f"503\n{answers}"})

    assert readiness.unprogrammed(["wc-w1", "wc-w2"]) == [
        "kube-proxy healthy on wc-w2 (its /healthz gave 503)"
    ]


def test_a_node_that_answers_through_the_service_address_is_programmed(
    on_nodes: dict[str, str],
) -> None:
    on_nodes["wc-w1"] = "200\n10.96.0.1\n10.96.0.1\n"
    assert readiness.unprogrammed(["wc-w1"]) == []


@pytest.mark.parametrize(
    ("said", "missing"),
    [
        ("503\n10.96.0.1\n10.96.0.1\n", "kube-proxy healthy on wc-w1 (its /healthz gave 503)"),
        ("200\n\n10.96.0.1\n", "over UDP at 10.96.0.10 on wc-w1 (got nothing)"),
        # Somebody outside the cluster may answer as well.
        ("200\n10.96.0.1\n192.0.2.9\n", "over TCP at 10.96.0.10 on wc-w1 (got 192.0.2.9)"),
    ],
)
def test_what_a_node_lacks_is_named(on_nodes: dict[str, str], said: str, missing: str) -> None:
    on_nodes["wc-w1"] = said
    (found,) = readiness.unprogrammed(["wc-w1"])
    assert missing in found


def test_a_node_that_says_nothing_lacks_everything(on_nodes: dict[str, str]) -> None:
    on_nodes["wc-w1"] = ""
    assert len(readiness.unprogrammed(["wc-w1"])) == 3


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[dict[str, Any]]]:
    objects: dict[str, list[dict[str, Any]]] = {}

    def kubectl(*args: str) -> str:
        return json.dumps({"items": objects.get(args[1], [])})

    monkeypatch.setattr(readiness, "kubectl", kubectl)
    return objects


def test_a_node_counts_only_when_the_api_calls_it_ready(
    api: dict[str, list[dict[str, Any]]],
) -> None:
    ready = {"type": "Ready", "status": "True"}
    api["nodes"] = [
        {"metadata": {"name": "a"}, "status": {"conditions": [ready]}},
        {"metadata": {"name": "b"}, "status": {"conditions": [{**ready, "status": "False"}]}},
    ]
    assert readiness.nodes_not_ready(["a", "b", "c"]) == ["node b Ready", "node c Ready"]


def deployment(name: str, wanted: int, ready: int, generation: int = 1) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": name, "generation": 1},
        "spec": {"replicas": wanted},
        "status": {"readyReplicas": ready, "observedGeneration": generation},
    }


def test_a_deployment_counts_when_all_its_pods_are_ready(
    api: dict[str, list[dict[str, Any]]],
) -> None:
    pod = {
        "metadata": {
            "namespace": "shop",
            "name": "w",
            "labels": {"app": "warming"},
            "ownerReferences": [{}],
        },
        "status": {"phase": "Running"},
    }
    api["pods"] = [pod]
    api["deployments"] = [deployment("web", 4, 4), deployment("warming", 2, 0)]
    assert readiness.workloads_not_running() == []
    api["deployments"] = [deployment("web", 4, 3)]
    assert readiness.workloads_not_running() == ["deployment shop/web ready (3 of 4)"]
    # What the API says of an older version of the object says nothing.
    api["deployments"] = [deployment("web", 4, 4, generation=0)]
    assert readiness.workloads_not_running() == ["deployment shop/web ready (4 of 4)"]


def test_waiting_ends_when_nothing_is_missing() -> None:
    answers = iter([["this"], TestbedError("not yet"), []])

    def missing() -> list[str]:
        answer = next(answers)
        if isinstance(answer, TestbedError):
            raise answer
        return answer

    readiness.wait_for(missing, 60, "a log")
    assert next(answers, None) is None


def test_waiting_too_long_says_what_is_missing_and_where_to_look() -> None:
    with pytest.raises(TestbedError, match=r"still missing: this\. Look at a log"):
        readiness.wait_for(lambda: ["this"], 0, "a log")


def test_waiting_can_be_interrupted() -> None:
    def missing() -> list[str]:
        raise StoppedByUserError("interrupted")

    with pytest.raises(StoppedByUserError):
        readiness.wait_for(missing, 60, "a log")
