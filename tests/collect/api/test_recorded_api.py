"""What a real API server (Kubernetes 1.34) sent, served again: pages, events, an expired watch."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.collect.conftest import Answer, ApiServer
from wirecheck.collect.api import changes as changes_module
from wirecheck.collect.api.changes import changes_since
from wirecheck.collect.api.client import Api
from wirecheck.snapshot.api_objects import ApiObjects

RECORDED = Path(__file__).parents[2] / "recorded" / "api"
NODES = "/api/v1/nodes"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"


def recorded(name: str) -> Any:
    return json.loads(gzip.decompress((RECORDED / name).read_bytes()))


@pytest.fixture
def pages(server: ApiServer) -> dict[str, Any]:
    """Makes the server serve the recorded pages; returns them."""
    pages: dict[str, Any] = recorded("pages.json.gz")
    for path, page in pages.items():
        if "items" in page:
            server.lists[path] = page["items"]
            server.version = int(page["metadata"]["resourceVersion"])
        else:
            server.objects[path] = page
    return pages


def words(value: Any) -> set[str]:
    """Every key and every text within a decoded JSON value."""
    if isinstance(value, dict):
        return set(value) | set().union(*map(words, value.values()))
    if isinstance(value, list):
        return set().union(*map(words, value))
    return {value} if isinstance(value, str) else set()


def without_times(objects: ApiObjects) -> ApiObjects:
    """The objects as they were read before `written` and `statusWritten` were kept."""

    def stripped(value: Any) -> Any:
        if isinstance(value, dict):
            kept = {k: v for k, v in value.items() if k not in ("written", "statusWritten")}
            return {key: stripped(inner) for key, inner in kept.items()}
        return [stripped(each) for each in value] if isinstance(value, list) else value

    return msgspec.convert(stripped(msgspec.to_builtins(objects)), ApiObjects)


def test_real_objects_show_when_they_were_last_written(api: Api, pages: dict[str, Any]) -> None:
    """The latest entry of managedFields counts, apart from who wrote it and what."""
    for pod, sent in zip(api.read().pods, pages["/api/v1/pods"]["items"], strict=True):
        entries = sent["metadata"]["managedFields"]
        own = [each["time"] for each in entries if "subresource" not in each]
        of_status = [each["time"] for each in entries if "subresource" in each]
        assert pod.metadata.written == max(own)
        assert pod.metadata.status_written == max(of_status, default="")


@pytest.mark.parametrize("page", [7, 1000])
def test_real_pages_give_the_recorded_objects(
    server: ApiServer, api: Api, pages: dict[str, Any], page: int
) -> None:
    api.page = page
    expected = msgspec.convert(recorded("api.json.gz"), ApiObjects)
    assert len(expected.pods) > 30
    found = without_times(api.read())
    versions = dict.fromkeys(expected.resource_versions, str(server.version))
    # The objects were recorded before mounts, rules of policies and the times of writing were read.
    assert found == msgspec.structs.replace(
        expected, resource_versions=versions, mounts_read=True, policy_rules_read=True
    )
    assert api.problems == []


def test_what_real_objects_hold_besides_does_not_get_through(
    api: Api, pages: dict[str, Any]
) -> None:
    sent = words(pages)
    kept = words(msgspec.to_builtins(api.read()))
    for name in ("env", "volumes", "managedFields", "args", "command", "kubeconfig.conf"):
        assert name in sent
        assert name not in kept


def watch(server: ApiServer, monkeypatch: pytest.MonkeyPatch, path: str, lines: list[Any]) -> None:
    monkeypatch.setattr(changes_module, "SHORT", 0)
    end = {"metadata": {"resourceVersion": str(server.version + 1)}}
    for each in server.lists:
        server.watches[each] = [Answer(lines=[{"type": "BOOKMARK", "object": end}])]
    server.watches[path] = [Answer(lines=lines)]
    server.version += 1


@pytest.mark.parametrize(
    ("since", "expected"),
    [
        (700, set()),  # heartbeats only
        (614, {("wc-w2", "labels, ready")}),  # the last node became Ready and got its labels
    ],
)
def test_real_heartbeats_are_no_change_and_becoming_ready_is_one(  # noqa: PLR0917 - fixtures
    server: ApiServer,
    api: Api,
    pages: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    since: int,
    expected: set[tuple[str, str]],
) -> None:
    before = api.read()
    events = [
        event
        for event in recorded("events.json.gz")[NODES]
        if int(event["object"]["metadata"]["resourceVersion"]) >= since
    ]
    assert len([event for event in events if event["type"] == "MODIFIED"]) >= 6
    watch(server, monkeypatch, NODES, events)

    found = {(change.name, change.what) for change in changes_since(api, before)}
    assert found == expected
    assert server.paths().count(NODES) == 3  # the list, its version of now, the watch


def test_a_real_expired_watch_means_list_again(
    server: ApiServer, api: Api, pages: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = api.read()
    expired = recorded("events.json.gz")[SLICES]
    assert [event["object"]["code"] for event in expired] == [410]
    gone = server.lists[SLICES].pop()
    watch(server, monkeypatch, SLICES, expired)

    service = gone["metadata"]["labels"]["kubernetes.io/service-name"]
    assert [(change.kind, change.name) for change in changes_since(api, before)] == [
        ("EndpointSlice", gone["metadata"]["name"]),
        ("Service", service),
    ]
