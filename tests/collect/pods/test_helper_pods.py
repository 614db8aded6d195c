"""Helper pods made and removed, on an API server that remembers what it was asked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.collect.conftest import Answer, ApiServer, Request, status
from tests.collect.pods.test_agent_pods import STARTED, Namespace, nodes, waiting
from wirecheck.collect.api.client import Api
from wirecheck.collect.pods import helper_pods
from wirecheck.collect.pods.helper_pods import HelpersOfRun, settings_of, without_helper
from wirecheck.collect.pods.run_pods import removed_at_last
from wirecheck.inventory.file import Agent, HelperPods, Inventory, InventoryError, NodeEntry

NAMESPACE = "wirecheck-helpers"


@pytest.fixture
def namespace(server: ApiServer) -> Namespace:
    return Namespace(server, NAMESPACE)


@pytest.fixture
def helpers(api: Api) -> HelpersOfRun:
    settings = HelperPods(image="registry.test/w:1", pull_secrets=["key"], start=0.2)
    made = HelpersOfRun(api, settings, 900)
    made._own.pause = lambda _: None
    return made


def test_they_are_announced_made_and_removed(helpers: HelpersOfRun, namespace: Namespace) -> None:
    said: list[str] = []
    posted_when_said: list[int] = []

    def say(sentence: str) -> None:
        said.append(sentence)
        posted_when_said.append(len(namespace.pods))

    with removed_at_last(helpers, say):
        record = helpers.make(nodes("a", "b"), say)
        made = [pod["spec"]["nodeName"] for pod in namespace.pods]

    assert record
    assert record.nodes == {"a": "", "b": ""}
    assert made == ["a", "b"]
    assert posted_when_said == [0], "it is said before anything is made"
    (sentence,) = said
    for word in ("2 helper pods", NAMESPACE, "registry.test/w:1", "8053", "900 s", record.run):
        assert word in sentence
    assert "wirecheck clean" in sentence
    assert namespace.pods == []
    delete = next(each for each in namespace.asked if each.method == "DELETE")
    assert delete.query["labelSelector"] == (
        f"app.kubernetes.io/managed-by=wirecheck,app.kubernetes.io/instance={record.run}"
    )


def test_one_has_no_right_and_an_end(helpers: HelpersOfRun, namespace: Namespace) -> None:
    helpers.make(nodes("a"), print)

    spec = namespace.pods[0]["spec"]
    (container,) = spec["containers"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(container["resources"]["limits"]) == {"cpu", "memory"}
    assert not spec["automountServiceAccountToken"]
    assert spec["activeDeadlineSeconds"] == 900
    assert spec["imagePullSecrets"] == [{"name": "key"}]
    forbidden = ("hostNetwork", "hostPID", "hostIPC", "volumes", "serviceAccountName")
    assert not set(forbidden) & set(spec)


def test_without_being_asked_for_none_is_made(api: Api, namespace: Namespace) -> None:
    none = HelpersOfRun(api, None, 0)

    assert none.make(nodes("a"), print) is None
    assert none.remove() == ""
    assert namespace.asked == []


@pytest.mark.parametrize(
    ("state", "sentence"),
    [
        (waiting("ErrImageNeverPull", "not present"), "ErrImageNeverPull: not present"),
        (waiting("ContainerCreating"), "not within 0.2 s, ContainerCreating"),
        (
            {**STARTED, "conditions": [{"type": "Ready", "status": "False"}]},
            "not within 0.2 s, Running",
        ),
        (
            {
                "phase": "Failed",
                "containerStatuses": [
                    {"state": {"terminated": {"reason": "StartError", "message": "no python3"}}}
                ],
            },
            "StartError: no python3",
        ),
    ],
)
def test_a_node_on_which_none_starts_is_named_with_the_reason(
    helpers: HelpersOfRun, namespace: Namespace, state: dict[str, Any], sentence: str
) -> None:
    namespace.status["a"] = state

    record = helpers.make(nodes("a", "b"), print)

    assert record
    assert sentence in record.nodes["a"]
    assert record.nodes["b"] == ""
    (note,) = without_helper(record)
    assert "No helper pod runs on a," in note
    assert sentence in note


def test_none_is_made_on_a_node_that_cannot_start_it(
    helpers: HelpersOfRun, namespace: Namespace
) -> None:
    record = helpers.make(nodes("a", ready="False"), print)

    assert record
    assert "a is NotReady" in record.nodes["a"]
    assert namespace.asked == []


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (status(404, "not found"), f"kubectl create namespace {NAMESPACE}"),
        (status(403, "cannot create resource"), '"create", "list", "deletecollection"'),
    ],
)
def test_what_forbids_them_is_a_sentence_with_the_next_step(
    helpers: HelpersOfRun, namespace: Namespace, answer: Answer, sentence: str
) -> None:
    namespace.refusal = answer

    record = helpers.make(nodes("a", "b"), print)

    assert record
    assert all(sentence in why for why in record.nodes.values())
    assert "enforce=privileged" not in record.nodes["a"]


def test_no_more_are_made_once_one_is_refused(
    helpers: HelpersOfRun, namespace: Namespace, server: ApiServer
) -> None:
    """A quota admits the first alone; the API server answers slowly, as a busy one does."""
    posted: list[str] = []

    def answer(request: Request) -> Answer:
        if request.method != "POST":
            return namespace._answer(request)
        posted.append(request.body["spec"]["nodeName"])
        if len(posted) == 1:
            return namespace._answer(request)
        server.released.wait(0.05)
        return status(403, "exceeded quota: pods")

    names = [f"n{number}" for number in range(100)]
    server.scripted[namespace.path] = [answer] * 150
    record = helpers.make(nodes(*names), print)

    assert record
    assert all("exceeded quota" in reason for reason in record.nodes.values())
    assert len(posted) < len(names) / 2
    assert helpers.remove() == ""
    assert namespace.pods == []


def test_an_interrupt_while_they_are_made_removes_them(
    helpers: HelpersOfRun, namespace: Namespace
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    helpers._own.pause = interrupt
    namespace.status["b"] = waiting("ContainerCreating")

    with pytest.raises(KeyboardInterrupt), removed_at_last(helpers, print):
        helpers.make(nodes("a", "b"), print)

    assert namespace.pods == []


def test_an_interrupt_while_they_are_removed_does_not_keep_them(
    helpers: HelpersOfRun, namespace: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = helper_pods.RunPods.remove
    calls = []

    def interrupted_once(self: helper_pods.RunPods) -> str:
        calls.append(self)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return remove(self)

    monkeypatch.setattr(helper_pods.RunPods, "remove", interrupted_once)
    with removed_at_last(helpers, print):
        helpers.make(nodes("a"), print)

    assert namespace.pods == []


def test_the_agents_image_is_theirs_if_they_have_none_of_their_own() -> None:
    nodes = [NodeEntry("*", "ssh://")]
    agent = Agent(image="agents")

    assert settings_of(Inventory(nodes, agent=agent)).image == "agents"
    own = Inventory(nodes, agent=agent, helper_pods=HelperPods(image="own"))
    assert settings_of(own).image == "own"
    with pytest.raises(InventoryError, match="under `helper_pods:`"):
        settings_of(Inventory(nodes))
