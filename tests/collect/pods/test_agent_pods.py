"""Agents found, made and removed, on an API server that remembers what it was asked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.collect.conftest import Answer, ApiServer, Request, status
from wirecheck.collect.api.client import Api
from wirecheck.collect.pods.agent_manifest import CAPABILITIES
from wirecheck.collect.pods.agent_pods import AgentPods
from wirecheck.collect.pods.run_pods import remove_pods
from wirecheck.inventory.file import AccessMethod, Agent
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.objects.metadata import Condition, Metadata
from wirecheck.snapshot.objects.node import NodeObject, NodeStatus
from wirecheck.snapshot.objects.pod import PodObject, PodSpec, PodStatus

STARTED = {"phase": "Running", "containerStatuses": [{"state": {"running": {"startedAt": "x"}}}]}
READY = {**STARTED, "conditions": [{"type": "Ready", "status": "True"}]}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", "containerStatuses": [{"state": state}]}


class Namespace:
    """The agents' namespace: keeps what is posted, and shows it with a status of the test's."""

    def __init__(self, server: ApiServer, name: str = "wirecheck") -> None:
        self.server = server
        self.path = f"/api/v1/namespaces/{name}/pods"
        self.pods: list[dict[str, Any]] = []
        self.status: dict[str, dict[str, Any]] = {}
        self.refusal: Answer | None = None
        self.asked: list[Request] = []
        server.lists[self.path] = []
        self._next()

    def _next(self) -> None:
        self.server.script(self.path, self._answer)

    def _answer(self, request: Request) -> Answer:
        self._next()
        self.asked.append(request)
        if request.method == "POST":
            if self.refusal:
                return self.refusal
            self.pods.append(request.body)
            return Answer(201, request.body)
        if request.method == "DELETE":
            self.pods.clear()
            return Answer(200, {})
        items = [
            {**pod, "status": self.status.get(pod["spec"]["nodeName"], READY)} for pod in self.pods
        ]
        return Answer(body={"items": items})

    def methods(self) -> list[str]:
        return [each.method for each in self.asked]


@pytest.fixture
def namespace(server: ApiServer) -> Namespace:
    return Namespace(server)


@pytest.fixture
def agents(api: Api) -> AgentPods:
    settings = Agent(image="registry.test/wirecheck:1", pull_secrets=["key"], start=0.2)
    return AgentPods(api, settings, 900, pause=lambda _: None)


def nodes(*names: str, ready: str = "True") -> ApiObjects:
    state = NodeStatus(conditions=[Condition("Ready", ready)])
    return ApiObjects(nodes=[NodeObject(Metadata(name=name), status=state) for name in names])


def methods(*names: str) -> dict[str, AccessMethod]:
    return {name: AccessMethod(name, f"kubectl://{name}", "192.0.2.1") for name in names}


def test_an_agent_is_made_on_each_node_and_removed(agents: AgentPods, namespace: Namespace) -> None:
    settled, refused = agents.settle(methods("a", "b"), nodes("a", "b"))

    assert refused == {}
    made = {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in namespace.pods}
    assert {name: access.pod and access.pod.name for name, access in settled.items()} == made
    assert {access.pod and access.pod.context for access in settled.values()} == {"test"}
    assert agents.remove() == ""
    assert namespace.pods == []
    delete = next(each for each in namespace.asked if each.method == "DELETE")
    assert delete.query["labelSelector"] == (
        f"app.kubernetes.io/managed-by=wirecheck,app.kubernetes.io/instance={agents.run}"
    )


def test_an_agent_may_what_it_needs_and_nothing_else(
    agents: AgentPods, namespace: Namespace
) -> None:
    agents.settle(methods("a"), nodes("a"))

    (pod,) = namespace.pods
    spec = pod["spec"]
    (container,) = spec["containers"]
    rights = container["securityContext"]
    assert rights["capabilities"] == {"drop": ["ALL"], "add": list(CAPABILITIES)}
    assert rights["readOnlyRootFilesystem"]
    assert "privileged" not in rights
    assert not spec["automountServiceAccountToken"]
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["imagePullSecrets"] == [{"name": "key"}]
    assert (spec["activeDeadlineSeconds"], container["image"]) == (900, "registry.test/wirecheck:1")
    assert "volumes" not in spec


def test_agents_of_the_run_serve_its_next_look(agents: AgentPods, namespace: Namespace) -> None:
    first, _ = agents.settle(methods("a"), nodes("a"))
    second, _ = agents.settle(methods("a"), nodes("a"))

    assert first == second
    assert len(namespace.pods) == 1


def test_an_agent_that_stays_is_used(agents: AgentPods, namespace: Namespace) -> None:
    labels = {"app.kubernetes.io/name": "wirecheck-agent"}
    staying = PodObject(
        Metadata(name="wirecheck-agent-x", namespace="wirecheck", labels=labels),
        PodSpec(node_name="a"),
        PodStatus(phase="Running"),
    )
    api = nodes("a")
    api.pods.append(staying)

    settled, _ = agents.settle(methods("a"), api)

    assert settled["a"].pod
    assert settled["a"].pod.name == "wirecheck-agent-x"
    assert agents.remove() == ""
    assert namespace.asked == []


def test_another_runs_agent_is_not_used(agents: AgentPods, namespace: Namespace) -> None:
    labels = {
        "app.kubernetes.io/name": "wirecheck-agent",
        "app.kubernetes.io/managed-by": "wirecheck",
    }
    other = PodObject(
        Metadata(name="wirecheck-agent-x", namespace="wirecheck", labels=labels),
        PodSpec(node_name="a"),
        PodStatus(phase="Running"),
    )
    api = nodes("a")
    api.pods.append(other)

    settled, _ = agents.settle(methods("a"), api)

    assert settled["a"].pod
    assert settled["a"].pod.name != "wirecheck-agent-x"


def test_without_an_image_none_is_made(api: Api, namespace: Namespace) -> None:
    settled, refused = AgentPods(api, Agent(), 900).settle(methods("a"), nodes("a"))

    assert settled == {}
    assert "set `agent.image`" in refused["a"].reason
    assert namespace.asked == []


def test_other_ways_are_left_alone(agents: AgentPods, namespace: Namespace) -> None:
    other = {"a": AccessMethod("a", "ssh://a", "192.0.2.1")}

    assert agents.settle(other, nodes("a")) == (other, {})
    assert namespace.asked == []


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (status(404, 'namespaces "wirecheck" not found'), "kubectl create namespace wirecheck"),
        (status(403, 'violates PodSecurity "baseline"'), "enforce=privileged"),
        (status(403, "cannot create resource"), '"create", "list", "deletecollection"'),
        (status(422, "spec is wrong"), "was refused (422: spec is wrong)"),
    ],
)
def test_what_forbids_one_forbids_all_and_is_asked_once(
    agents: AgentPods, namespace: Namespace, answer: Answer, sentence: str
) -> None:
    namespace.refusal = answer

    settled, refused = agents.settle(methods("a", "b", "c"), nodes("a", "b", "c"))

    assert settled == {}
    assert {record.status for record in refused.values()} == {"unreachable"}
    assert all(sentence in record.reason for record in refused.values())
    assert namespace.methods() == ["POST"]


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (waiting("ErrImageNeverPull", "not present"), "ErrImageNeverPull: not present"),
        (waiting("ContainerCreating"), "not within 0.2 s, ContainerCreating"),
        ({"phase": "Failed", "reason": "OutOfpods", "message": "full."}, "OutOfpods: full"),
    ],
)
def test_one_that_does_not_start_costs_its_node_alone(
    agents: AgentPods, namespace: Namespace, state: dict[str, Any], sentence: str
) -> None:
    namespace.status["a"] = state

    settled, refused = agents.settle(methods("a", "b"), nodes("a", "b"))

    assert set(settled) == {"b"}
    assert sentence in refused["a"].reason


def test_no_pod_is_made_for_a_node_that_cannot_start_it(
    agents: AgentPods, namespace: Namespace
) -> None:
    _, refused = agents.settle(methods("a"), nodes("a", ready="False"))

    assert "a is NotReady" in refused["a"].reason
    assert namespace.pods == []


def test_cleaning_removes_only_what_wirecheck_made(api: Api, namespace: Namespace) -> None:
    assert remove_pods(api, "wirecheck") == 0

    assert namespace.asked[0].query["labelSelector"] == "app.kubernetes.io/managed-by=wirecheck"
