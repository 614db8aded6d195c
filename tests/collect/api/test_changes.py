from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.collect.conftest import Answer, ApiServer, status
from wirecheck.collect.api import changes as changes_module
from wirecheck.collect.api.changes import changes_since
from wirecheck.collect.api.client import Api, ApiError
from wirecheck.snapshot.api_objects import ApiObjects, Change

NODES = "/api/v1/nodes"
PODS = "/api/v1/pods"
SERVICES = "/api/v1/services"
SLICES = "/apis/discovery.k8s.io/v1/endpointslices"
POLICIES = "/apis/networking.k8s.io/v1/networkpolicies"
LISTS = (NODES, PODS, SERVICES, SLICES, POLICIES)

Edit = Callable[[dict[str, Any]], object]


def metadata(name: str, **more: Any) -> dict[str, Any]:
    found = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "resourceVersion": "50"}
    return {**found, **more}


def condition(kind: str, state: str, heartbeat: str = "1") -> dict[str, str]:
    return {"type": kind, "status": state, "lastHeartbeatTime": heartbeat, "reason": heartbeat}


@pytest.fixture
def before(server: ApiServer, api: Api) -> ApiObjects:
    """One object of each kind, as it was read before the visits, at version 100."""
    server.lists[NODES] = [
        {
            "metadata": {"name": "w1", "uid": "uid-w1", "resourceVersion": "50"},
            "spec": {"podCIDR": "10.0.1.0/24"},
            "status": {"conditions": [condition("Ready", "True")]},
        }
    ]
    server.lists[PODS] = [
        {
            "metadata": metadata("web"),
            "spec": {"nodeName": "w1"},
            "status": {
                "phase": "Running",
                "podIPs": [{"ip": "10.0.1.1"}],
                "conditions": [condition("Ready", "True")],
            },
        }
    ]
    server.lists[SERVICES] = [
        {"metadata": metadata("web"), "spec": {"clusterIP": "10.96.0.1", "ports": [{"port": 80}]}}
    ]
    server.lists[SLICES] = [
        {
            "metadata": metadata("web-x", labels={"kubernetes.io/service-name": "web"}),
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.1.1"], "conditions": {"ready": True}}],
            "ports": [{"port": 8080}],
        }
    ]
    server.lists[POLICIES] = [{"metadata": metadata("deny"), "spec": {"podSelector": {}}}]
    return api.read()


def edited(server: ApiServer, path: str, edit: Edit, version: int = 101) -> dict[str, Any]:
    """The first object of a list after an edit, as an event or a new list shows it."""
    item = copy.deepcopy(server.lists[path][0])
    edit(item)
    item["metadata"]["resourceVersion"] = str(version)
    server.version = max(server.version, version)
    return item


def bookmark(version: int) -> dict[str, Any]:
    found = {"kind": "Pod", "metadata": {"resourceVersion": str(version)}}
    return {"type": "BOOKMARK", "object": found}


def event(kind: str, item: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": item}


def unchanged(item: dict[str, Any]) -> None:
    pass


def watches(server: ApiServer, monkeypatch: pytest.MonkeyPatch, **streams: list[Any]) -> None:
    """Make every list long enough to be watched; those not named get a bookmark of now."""
    monkeypatch.setattr(changes_module, "SHORT", 0)
    for path in LISTS:
        lines = streams.get(path.rpartition("/")[2], [bookmark(server.version)])
        server.watches[path] = [Answer(lines=lines, stays=True)]


def seen(changes: list[Change]) -> list[tuple[str, str, str]]:
    return [(change.kind, change.name, change.what) for change in changes]


def listed_again(server: ApiServer) -> set[str]:
    """Resources whose list was read in full more than once."""
    full = [r.path for r in server.requests if r.query.get("limit") == "1000"]
    return {path.rpartition("/")[2] for path in full if full.count(path) > 1}


@pytest.mark.parametrize(
    "case",
    [
        (PODS, lambda pod: pod["status"].update(phase="Failed"), [("Pod", "web", "phase")]),
        (
            PODS,
            lambda pod: pod["status"].update(podIPs=[{"ip": "10.0.1.2"}]),
            [("Pod", "web", "podIPs")],
        ),
        (PODS, lambda pod: pod["spec"].update(nodeName="w2"), [("Pod", "web", "nodeName")]),
        (
            PODS,
            lambda pod: pod["metadata"].update(deletionTimestamp="2026-11-01T00:00:00Z"),
            [("Pod", "web", "deletionTimestamp")],
        ),
        (
            PODS,
            lambda pod: pod["status"].update(conditions=[condition("Ready", "False")]),
            [("Pod", "web", "ready")],
        ),
        (PODS, lambda pod: pod["metadata"].update(uid="another"), [("Pod", "web", "replaced")]),
        (
            NODES,
            lambda node: node["status"].update(conditions=[condition("Ready", "Unknown")]),
            [("Node", "w1", "ready")],
        ),
        (
            NODES,
            lambda node: node["status"].update(nodeInfo={"bootID": "new"}),
            [("Node", "w1", "nodeInfo")],
        ),
        (
            SERVICES,
            lambda service: service["spec"]["ports"].append({"port": 443, "name": "tls"}),
            [("Service", "web", "spec")],
        ),
        (
            SERVICES,
            lambda service: service.update(
                status={"loadBalancer": {"ingress": [{"ip": "9.9.9.9"}]}}
            ),
            [("Service", "web", "status")],
        ),
        (
            SLICES,
            lambda each: each["endpoints"][0]["conditions"].update(ready=False),
            [("EndpointSlice", "web-x", "endpoints"), ("Service", "web", "endpoints")],
        ),
        (
            POLICIES,
            lambda policy: policy["spec"].update(policyTypes=["Egress"]),
            [("NetworkPolicy", "deny", "spec")],
        ),
        (
            NODES,
            lambda node: node["status"].update(conditions=[condition("Ready", "True", "2")]),
            [],
        ),
        (
            NODES,
            lambda node: node["status"]["conditions"].append(condition("DiskPressure", "False")),
            [],
        ),
        (PODS, lambda pod: pod["metadata"].update(annotations={"checked-at": "now"}), []),
        (PODS, lambda pod: pod["status"].update(containerStatuses=[{"name": "c"}]), []),
    ],
)
@pytest.mark.parametrize("watched", [True, False], ids=["watched", "listed"])
def test_only_fields_that_checks_use_count(  # noqa: PLR0917 - fixtures
    server: ApiServer,
    api: Api,
    before: ApiObjects,
    monkeypatch: pytest.MonkeyPatch,
    case: tuple[str, Edit, list[tuple[str, str, str]]],
    watched: bool,
) -> None:
    path, edit, expected = case
    item = edited(server, path, edit)
    if watched:
        resource = path.rpartition("/")[2]
        watches(server, monkeypatch, **{resource: [event("MODIFIED", item), bookmark(102)]})
    else:
        server.lists[path] = [item]

    assert seen(changes_since(api, before)) == expected
    assert listed_again(server) == (
        set() if watched else {each.rpartition("/")[2] for each in LISTS}
    )


@pytest.mark.parametrize("watched", [True, False], ids=["watched", "listed"])
def test_what_was_added_and_deleted_is_a_change(
    server: ApiServer,
    api: Api,
    before: ApiObjects,
    monkeypatch: pytest.MonkeyPatch,
    watched: bool,
) -> None:
    new = edited(server, PODS, lambda pod: pod["metadata"].update(name="new", uid="uid-new"))
    gone = edited(server, SLICES, unchanged, 102)
    if watched:
        lines = {"pods": [event("ADDED", new)], "endpointslices": [event("DELETED", gone)]}
        watches(server, monkeypatch, **{k: [*v, bookmark(102)] for k, v in lines.items()})
    else:
        server.lists[PODS].append(new)
        server.lists[SLICES] = []

    assert changes_since(api, before) == [
        Change("EndpointSlice", "web-x", "shop", "uid-web-x", "deleted"),
        Change("Pod", "new", "shop", "uid-new", "added"),
        Change("Service", "web", "shop", "uid-web", "endpoints"),
    ]


def test_a_watch_sees_what_changed_and_changed_back(
    server: ApiServer, api: Api, before: ApiObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = edited(server, SLICES, lambda each: each.update(endpoints=[]))
    back = edited(server, SLICES, unchanged, 102)
    flap = [event("MODIFIED", first), event("MODIFIED", back)]
    watches(server, monkeypatch, endpointslices=flap)

    assert ("Service", "web", "endpoints") in seen(changes_since(api, before))


def test_a_watch_is_read_until_the_version_of_now(
    server: ApiServer, api: Api, before: ApiObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version of now is 120; a bookmark before it does not end the watch."""
    server.version = 120
    item = edited(server, PODS, lambda pod: pod["status"].update(phase="Failed"), 110)
    lines = [bookmark(99), bookmark(105), event("MODIFIED", item), bookmark(121)]
    watches(server, monkeypatch, pods=lines)

    assert seen(changes_since(api, before)) == [("Pod", "web", "phase")]
    assert listed_again(server) == set()
    asked = next(r.query for r in server.requests if r.path == PODS and "watch" in r.query)
    assert asked["resourceVersion"] == "100"
    assert asked["allowWatchBookmarks"] == "true"
    assert int(asked["timeoutSeconds"]) > 2


def test_versions_are_numbers_and_not_texts(
    server: ApiServer, api: Api, before: ApiObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As texts, 99 would be after 1000."""
    server.version = 1000
    item = edited(server, PODS, lambda pod: pod["status"].update(phase="Failed"), 999)
    watches(server, monkeypatch, pods=[bookmark(99), event("MODIFIED", item), bookmark(1000)])
    assert seen(changes_since(api, before)) == [("Pod", "web", "phase")]


def test_nothing_happened_so_nothing_is_watched(
    server: ApiServer, api: Api, before: ApiObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes_module, "SHORT", 0)
    assert changes_since(api, before) == []
    assert not any("watch" in request.query for request in server.requests)


EXPIRED = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}}


@pytest.mark.parametrize(
    "answer",
    [
        status(410, "too old resource version"),
        status(403, "cannot watch"),
        Answer(lines=[EXPIRED]),
        Answer(lines=[bookmark(101)]),
        Answer(lines=[]),
        Answer(lines=["garbage"]),
        Answer(lines=[{"type": "NOVELTY", "object": {}}]),
        Answer(lines=[bookmark(101)], stays=True),
    ],
    ids=["410", "403", "410 event", "ends early", "empty", "garbage", "unknown", "silent"],
)
def test_a_watch_that_does_not_get_there_means_list_again(
    server: ApiServer,
    api: Api,
    before: ApiObjects,
    monkeypatch: pytest.MonkeyPatch,
    answer: Answer,
) -> None:
    monkeypatch.setattr(changes_module, "GRACE_SECONDS", -7.5)
    server.lists[PODS] = [edited(server, PODS, lambda pod: pod["status"].update(phase="x"), 110)]
    watches(server, monkeypatch)
    server.watches[PODS] = [answer]

    assert seen(changes_since(api, before)) == [("Pod", "web", "phase")]
    assert listed_again(server) == {"pods"}


def test_versions_that_are_no_numbers_are_only_compared_for_equality(
    server: ApiServer, api: Api, before: ApiObjects, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.version = "b"  # type: ignore[assignment]
    watches(server, monkeypatch)
    for path in LISTS:
        server.watches[path] = [Answer(lines=[bookmark("a"), bookmark("b")], stays=True)]  # type: ignore[arg-type]
    assert changes_since(api, before) == []
    assert listed_again(server) == set()


def test_a_resource_that_could_not_be_read_is_not_compared(server: ApiServer, api: Api) -> None:
    server.script(POLICIES, status(403, "no"))
    before = api.read()
    assert changes_since(api, before) == []
    assert server.paths().count(POLICIES) == 1


def test_an_api_that_is_gone_is_an_error(server: ApiServer, api: Api, before: ApiObjects) -> None:
    server.script(PODS, status(401, "Unauthorized"))
    with pytest.raises(ApiError, match="does not accept the credentials"):
        changes_since(api, before)


def test_nothing_was_read_so_nothing_changed(api: Api) -> None:
    assert changes_since(api, ApiObjects()) == []


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(
    ("label", "has_policy", "word"),
    [
        ("app", False, "labels"),
        ("topology.kubernetes.io/zone", False, "labels"),
        ("flips", False, "other labels"),
        ("flips", True, "labels"),
    ],
    ids=["a selector's", "Kubernetes' own", "nobody's", "one that a policy may name"],
)
def test_labels_count_if_a_selector_can_name_them(
    server: ApiServer, api: Api, label: str, has_policy: bool, word: str
) -> None:
    if not has_policy:
        server.lists[POLICIES] = []
    server.lists[SERVICES][0]["spec"]["selector"] = {"app": "web"}
    before = api.read()
    labelled = edited(server, PODS, lambda pod: pod["metadata"].update(labels={label: "x"}))
    server.lists[PODS] = [labelled]

    assert seen(changes_since(api, before)) == [("Pod", "web", word)]
