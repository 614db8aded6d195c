"""An object that cannot be decoded loses the odd fields; the others of its list lose nothing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.collect.conftest import Answer, ApiServer
from wirecheck.collect.api import client
from wirecheck.collect.api.client import Api, ApiError
from wirecheck.collect.api.lenient import MOST_NAMED, decoded_items
from wirecheck.snapshot.api_objects import OddField
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import PodObject

PODS, NODES = "/api/v1/pods", "/api/v1/nodes"


def pod(name: str, **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}"}, **more}


def read(*items: Any, type_: Any = PodObject) -> tuple[list[Any], list[OddField]]:
    odd: list[OddField] = []
    return list(decoded_items(list(items), type_, "Pod", odd)), odd


@pytest.mark.parametrize(
    ("odd", "field"),
    [
        ({"status": {"phase": 5}}, "status.phase"),
        ({"status": "Running"}, "status"),
        ({"spec": {"containers": [{"name": "a"}, {}]}}, "spec.containers[1]"),
        ({"spec": {"containers": [{"name": "a", "ports": [{}]}]}}, "spec.containers[0].ports[0]"),
        ({"spec": {"hostNetwork": "yes"}}, "spec.hostNetwork"),
        ({"status": {"conditions": [{"type": "Ready"}]}}, "status.conditions[0]"),
    ],
)  # fmt: skip
def test_a_field_of_another_type_is_left_out_and_named(odd: dict[str, Any], field: str) -> None:
    items, noted = read(pod("a"), pod("b", **odd), pod("c"))

    assert [each.metadata.name for each in items] == ["a", "b", "c"]
    (found,) = noted
    assert (found.kind, found.namespace, found.name, found.uid) == ("Pod", "shop", "b", "uid-b")
    assert found.field == field


def test_labels_of_another_type_cost_all_labels_and_nothing_else() -> None:
    odd = pod("b", status={"phase": "Running"})
    odd["metadata"]["labels"] = {"app": "web", "count": 7}
    (item,), noted = read(odd)

    assert (item.metadata.labels, item.status.phase) == ({}, "Running")
    assert [each.field for each in noted] == ["metadata.labels"]


def test_an_object_with_many_odd_fields_keeps_its_name() -> None:
    containers = [{"name": each} for each in range(100)]
    (item,), noted = read(pod("b", spec={"containers": containers, "nodeName": "n1"}))

    assert item == PodObject(item.metadata)
    assert item.metadata.uid == "uid-b"
    assert noted[-1].found == "more than one field cannot be decoded"


@pytest.mark.parametrize(
    "item", [None, 5, "x", [], {}, {"metadata": {"name": 5}}, {"metadata": []}]
)
def test_what_has_no_name_is_left_out(item: Any) -> None:
    items, _ = read(item, pod("a"))
    assert [each.metadata.name for each in items][-1] == "a"


def test_what_is_named_is_bounded() -> None:
    items, noted = read(*(pod(f"p{each}", status=each) for each in range(1000)))

    assert len(items) == 1000
    assert len(noted) == MOST_NAMED


def test_a_read_goes_on_with_the_other_objects(server: ApiServer, api: Api) -> None:
    server.lists[PODS] = [pod("a"), pod("b", status={"podIPs": "10.0.0.1"})]
    server.lists[NODES] = [
        {"metadata": {"name": "n1"}, "status": {"conditions": [{"type": "Ready"}]}},
        {"metadata": {"name": "n2"}, "status": None},
    ]

    objects = api.read()

    assert [each.metadata.name for each in objects.pods] == ["a", "b"]
    assert [type(each) for each in objects.nodes] == [NodeObject, NodeObject]
    assert [(each.kind, each.name) for each in objects.undecodable] == [
        ("Node", "n1"),
        ("Pod", "b"),
    ]
    # The next round does not repeat them twice.
    assert len(api.read().undecodable) == 2


@pytest.mark.parametrize("token", ["again", "10"])
def test_a_list_that_repeats_a_page_is_an_error(server: ApiServer, api: Api, token: str) -> None:
    page = {"metadata": {"resourceVersion": "1", "continue": token}, "items": [pod("a")]}
    server.script(PODS, *[Answer(body=page)] * 3)

    with pytest.raises(
        ApiError, match="does not end the list of pods: it sent 2 objects in 2 pages"
    ):
        api.read()
    assert server.paths().count(PODS) == 2


def test_a_list_without_end_is_an_error(
    server: ApiServer, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MOST_PAGES", 5)
    pages = (
        {"metadata": {"resourceVersion": "1", "continue": str(each)}, "items": [pod(f"p{each}")]}
        for each in range(100)
    )
    server.script(PODS, *(Answer(body=page) for page in pages))

    with pytest.raises(ApiError, match="does not end the list of pods"):
        api.read()
    assert server.paths().count(PODS) == 6


@pytest.mark.parametrize("name", ["LIST_SECONDS", "READ_SECONDS"])
def test_all_pages_together_have_a_time_limit(
    server: ApiServer, api: Api, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(client, name, -1.0)
    with pytest.raises(ApiError, match="did not finish the list of nodes in time"):
        api.read()


def test_the_limit_of_a_read_ends_with_it(
    server: ApiServer, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "READ_SECONDS", -1.0)
    with pytest.raises(ApiError):
        api.read()
    assert api.still_there(["n1"]) == {"n1": "The node was deleted in the meantime."}


def test_an_optional_list_without_end_is_a_problem(server: ApiServer, api: Api) -> None:
    path = "/apis/networking.k8s.io/v1/networkpolicies"
    page = {"metadata": {"continue": "again"}, "items": []}
    server.script(path, *[Answer(body=page)] * 3)

    assert api.read().network_policies == []
    assert "does not end the list of networkpolicies" in api.problems[0]


def test_a_server_that_is_none_is_still_recognised(server: ApiServer, api: Api) -> None:
    server.script(PODS, Answer(body={"items": [5, "x", {}]}))
    with pytest.raises(ApiError, match="is this the URL of a Kubernetes API server"):
        api.read()
