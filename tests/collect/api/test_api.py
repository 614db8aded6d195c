from __future__ import annotations

import base64
import logging
import socket
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.collect.conftest import TOKEN, Answer, ApiServer, status, write_kubeconfig
from wirecheck.collect.api import connection
from wirecheck.collect.api.client import Api, ApiError
from wirecheck.collect.api.resources import NODES, RESOURCES
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import Snapshot, SnapshotWriter
from wirecheck.snapshot.index import FORMAT, RoundRecord, SnapshotIndex
from wirecheck.snapshot.objects.pod import StateTerminated

PODS = "/api/v1/pods"
SECRET = "c2VjcmV0LXZhbHVl"


def pod(name: str, **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "shop", "uid": f"uid-{name}", **metadata}}


def pods(count: int) -> list[dict[str, Any]]:
    return [pod(f"web-{number}") for number in range(count)]


def node(name: str, ready: str = "True", **more: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "reason": "KubeletReady"}
    return {"metadata": {"name": name}, "status": {"conditions": [condition]}, **more}


def test_every_page_is_read_and_the_whole_list_has_one_version(server: ApiServer, api: Api) -> None:
    server.lists[PODS] = pods(25)
    api.page = 10

    objects = api.read()

    assert [pod.metadata.name for pod in objects.pods] == [f"web-{n}" for n in range(25)]
    assert objects.resource_versions == {
        "nodes": "100",
        "pods": "100",
        "services": "100",
        "endpointslices": "100",
        "networkpolicies": "100",
    }
    assert objects.server_version == "v1.34.4"
    assert objects.cluster_uid == "u-1"
    assert api.problems == []
    queries = [request.query for request in server.requests if request.path == PODS]
    assert [query.get("continue") for query in queries] == [None, "10", "20"]
    assert all("resourceVersion" not in request.query for request in server.requests)


def test_requests_carry_the_token_and_who_asks(server: ApiServer, api: Api) -> None:
    api.read()
    assert {request.headers["authorization"] for request in server.requests} == {f"Bearer {TOKEN}"}
    assert all(r.headers["User-Agent"].startswith("wirecheck/") for r in server.requests)


def test_a_connection_is_kept_but_not_when_it_was_idle_for_long(
    server: ApiServer, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.read()
    assert len({request.port for request in server.requests}) == 1
    monkeypatch.setattr(connection, "IDLE_SECONDS", -1.0)
    api.objects(NODES)
    assert len({request.port for request in server.requests}) == 2


def test_an_expired_list_is_started_once_more(server: ApiServer, api: Api) -> None:
    server.lists[PODS] = pods(15)
    api.page = 10
    expired = status(410, "The provided continue parameter is too old")
    server.script(PODS, lambda request: Answer(body=server.page(request)), expired)

    assert len(api.read().pods) == 15


def test_a_list_that_expires_twice_is_an_error(server: ApiServer, api: Api) -> None:
    expired = status(410, "too old")
    server.script(PODS, expired, expired)
    with pytest.raises(ApiError, match="list of pods expired twice"):
        api.read()


def test_a_busy_server_is_asked_again_after_the_time_it_names(server: ApiServer, api: Api) -> None:
    pauses: list[float] = []
    api.connection.pause = pauses.append
    server.script(
        PODS,
        status(429, "slow down", Retry_After="7"),
        status(503, "starting", Retry_After="9999"),
        status(500, "etcd changed its leader"),
    )
    api.read()
    assert pauses == [7.0, connection.LONGEST_PAUSE, connection.PAUSES[2]]


def test_a_server_that_stays_busy_is_an_error(server: ApiServer, api: Api) -> None:
    api.connection.pause = [].append
    server.script(PODS, *[status(503, "no leader")] * (len(connection.PAUSES) + 1))
    with pytest.raises(ApiError, match=r"list of pods in several attempts \(503: no leader\)"):
        api.read()
    assert server.scripted[PODS] == []


def test_a_missing_right_to_something_required_names_the_rule(server: ApiServer, api: Api) -> None:
    server.script(
        "/apis/discovery.k8s.io/v1/endpointslices",
        status(403, 'User "x" cannot list resource "endpointslices"'),
    )
    with pytest.raises(ApiError) as caught:
        api.read()
    assert str(caught.value) == (
        "Context test is not allowed to read the list of endpointslices "
        '(403: User "x" cannot list resource "endpointslices"); add to its ClusterRole: '
        '{apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], '
        'verbs: ["list", "watch"]}.'
    )


def test_a_missing_right_to_something_else_is_a_problem_and_not_the_end(
    server: ApiServer, api: Api
) -> None:
    server.lists[PODS] = pods(3)
    server.script("/apis/networking.k8s.io/v1/networkpolicies", status(403, "no"))
    server.script("/api/v1/namespaces/kube-system/configmaps/coredns", status(403, "no"))
    server.script("/api/v1/namespaces/kube-system", status(403, "no"))

    objects = api.read()

    assert len(objects.pods) == 3
    assert "networkpolicies" not in objects.resource_versions
    assert [problem.partition(" (403")[0] for problem in api.problems] == [
        "Context test is not allowed to read the list of networkpolicies",
        "Context test is not allowed to read ConfigMap kube-system/coredns",
        "Context test is not allowed to read namespace kube-system",
    ]
    assert 'resourceNames: ["coredns"], verbs: ["get"]' in api.problems[1]


def test_namespaces_are_read_for_their_labels(server: ApiServer, api: Api) -> None:
    metadata = {"name": "shop", "labels": {"team": "a"}, "annotations": {"note": "private"}}
    server.lists["/api/v1/namespaces"] = [{"metadata": metadata, "spec": {}}]

    (found,) = api.read().namespaces

    assert (found.metadata.name, found.metadata.labels) == ("shop", {"team": "a"})
    assert found.metadata.annotations == {}


def test_without_the_right_to_list_namespaces_their_labels_are_unknown(
    server: ApiServer, api: Api
) -> None:
    server.script("/api/v1/namespaces", status(403, "no"))

    assert api.read().namespaces == []
    (problem,) = api.problems
    assert '{apiGroups: [""], resources: ["namespaces"], verbs: ["list"]}' in problem


def test_refused_credentials(server: ApiServer, kubeconfig: Path) -> None:
    server.script("/version", status(401, "Unauthorized"))
    with pytest.raises(ApiError, match=r"does not accept the credentials of context test \(401\)"):
        Api.connect(kubeconfig)


def test_a_version_that_is_kept_from_the_user_is_no_error(
    server: ApiServer, kubeconfig: Path
) -> None:
    server.script("/version", status(403, "no"))
    assert Api.connect(kubeconfig).server_version == ""


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Please log in</html>",
        b'{"items": [{"metadata": {"name": 1}}]}',
        b'{"items": [{"met',
        b'{"metadata": {}, "items": {}}',
        b"\xff\xfe",
        b'{"items": [{"metadata": {"name": "\xff"}}]}',
        b"[" * 100_000,
        b"",
    ],
)
def test_an_answer_that_is_not_the_list_is_an_error(
    server: ApiServer, api: Api, body: bytes
) -> None:
    server.script(PODS, Answer(body=body))
    with pytest.raises(ApiError, match=f"The response of {server.url} for the list of pods"):
        api.read()


def test_an_answer_that_never_ends_is_an_error(
    server: ApiServer, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "SILENCE_SECONDS", 2.0)
    server.script(PODS, Answer(body=b'{"items": [', stays=True))
    with pytest.raises(ApiError, match="did not finish the list of pods in time"):
        api.read()


def test_a_server_that_trickles_is_given_up(
    server: ApiServer, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "ANSWER_SECONDS", -1.0)
    with pytest.raises(ApiError, match="did not finish the list of nodes in time"):
        api.read()


def test_a_connection_that_breaks_within_an_answer_is_an_error(server: ApiServer, api: Api) -> None:
    server.script(PODS, Answer(body=b'{"items": [', stays=True))
    server.released.set()
    with pytest.raises(ApiError, match="closed the connection before it had sent the list of p"):
        api.read()


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    path = write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{port}")
    with pytest.raises(ApiError, match=r"context test cannot be reached: .*refused; try `kubectl"):
        Api.connect(path)


def test_a_server_without_tls(server: ApiServer, tmp_path: Path) -> None:
    path = write_kubeconfig(tmp_path / "config", server.url.replace("http:", "https:"))
    with pytest.raises(ApiError, match="cannot be reached over TLS"):
        Api.connect(path)


def test_only_one_key_of_the_named_config_maps_is_kept(server: ApiServer, api: Api) -> None:
    corefile = (
        ".:53 {\n    route53 example.org {\n        aws_access_key AKIA123 "
        f"{SECRET}\n    }}\n    forward . /etc/resolv.conf\n}}\n"
    )
    prefix = "/api/v1/namespaces/kube-system/configmaps/"
    server.objects[prefix + "kube-proxy"] = {
        "metadata": {"name": "kube-proxy"},
        "data": {"config.conf": "mode: ipvs", "kubeconfig.conf": f"token: {SECRET}"},
    }
    server.objects[prefix + "coredns"] = {
        "metadata": {"name": "coredns", "annotations": {"note": SECRET}},
        "data": {"Corefile": corefile, "other": SECRET},
    }

    kept = {item.metadata.name: item.data for item in api.read().config_maps}

    assert kept["kube-proxy"] == {"config.conf": "mode: ipvs"}
    assert "aws_access_key [not kept]" in kept["coredns"]["Corefile"]
    assert "forward . /etc/resolv.conf" in kept["coredns"]["Corefile"]
    assert "cilium-config" not in kept
    assert SECRET not in repr(kept)


def test_nothing_secret_reaches_the_snapshot(
    server: ApiServer, api: Api, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    metadata = {
        "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": f'{{"password": "{SECRET}"}}',
            "vault.example.org/token": SECRET,
            "kubernetes.io/config.hash": "0123456789abcdef0123456789abcdef",
        },
        "managedFields": [{"manager": SECRET}],
    }
    environment = [{"name": "PASSWORD", "value": SECRET}]
    container = {
        "name": "web",
        "env": environment,
        "args": ["--token", SECRET],
        "command": [SECRET],
        "livenessProbe": {"httpGet": {"httpHeaders": [{"name": "A", "value": SECRET}]}},
    }
    server.lists[PODS] = [
        {
            **pod("web", **metadata),
            "spec": {"containers": [container], "initContainers": [container]},
            "status": {"message": SECRET},
        }
    ]
    for resource in RESOURCES:
        if resource.plural != "pods":
            spec = {"podSelector": {}} if resource.plural == "networkpolicies" else {}
            server.lists[resource.path] = [{**pod("x", **metadata), "spec": spec}]
    server.objects["/api/v1/namespaces/kube-system"]["metadata"].update(metadata)

    writer = SnapshotWriter(tmp_path, SnapshotIndex(FORMAT, "0", 0.0))
    writer.write_api(1, api.read())
    writer.finish_round(RoundRecord(0.0, 1.0, problems=api.problems))

    kept = Snapshot.open(tmp_path).api()
    assert kept.pods[0].metadata.annotations == {
        "kubernetes.io/config.hash": "0123456789abcdef0123456789abcdef"
    }
    written = msgspec.json.encode(kept) + (tmp_path / "snapshot.json").read_bytes()
    for secret in (SECRET, TOKEN, "last-applied", "PASSWORD"):
        assert secret.encode() not in written
        assert secret not in caplog.text


def test_it_is_the_allow_list_that_keeps_the_secrets_out(
    server: ApiServer, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The test above can fail: a field that is allowed does get through."""
    monkeypatch.setattr("wirecheck.collect.api.resources.ALLOWED_ANNOTATIONS", {"note"})
    server.lists[PODS] = [pod("web", annotations={"note": SECRET})]
    assert SECRET in repr(api.read())


def test_nodes_that_are_gone_leaving_or_not_ready(server: ApiServer, api: Api) -> None:
    taint = {"key": "ToBeDeletedByClusterAutoscaler", "effect": "NoSchedule"}
    leaving = node("leaving", spec={"taints": [taint]})
    deleting = node("deleting")
    deleting["metadata"]["deletionTimestamp"] = "2026-11-01T00:00:00Z"
    server.lists[NODES.path] = [
        node("fine"),
        node("unknown", "Unknown"),
        leaving,
        deleting,
        {"metadata": {"name": "new"}},
        node("not-asked", "False"),
    ]
    reasons = api.still_there(["fine", "unknown", "leaving", "deleting", "new", "gone"])
    assert set(reasons) == {"unknown", "leaving", "deleting", "new", "gone"}
    assert reasons["gone"] == "The node was deleted in the meantime."
    assert "ToBeDeletedByClusterAutoscaler" in reasons["leaving"]


def test_no_node_to_ask_about_costs_no_request(server: ApiServer, api: Api) -> None:
    before = len(server.requests)
    assert api.still_there([]) == {}
    assert len(server.requests) == before


def test_what_is_read_survives_being_written(server: ApiServer, api: Api) -> None:
    server.lists[PODS] = [
        {
            **pod("web", ownerReferences=[{"kind": "ReplicaSet", "name": "web-1", "uid": "r"}]),
            "spec": {"nodeName": "w1", "containers": [{"name": "c", "ports": []}]},
            "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]},
        }
    ]
    server.lists["/apis/discovery.k8s.io/v1/endpointslices"] = [
        {**pod("web-x"), "addressType": "IPv4", "endpoints": None, "ports": None}
    ]
    objects = api.read()
    again = msgspec.json.decode(msgspec.json.encode(objects), type=ApiObjects)
    assert again == objects


def test_null_is_the_same_as_absent(server: ApiServer, api: Api) -> None:
    """As the kubelet leaves a container whose end it did not see, e.g. after a reboot."""
    state = {"terminated": {"exitCode": 137, "startedAt": None, "finishedAt": None}}
    server.lists[PODS] = [
        *pods(1),
        {
            **pod("lost", creationTimestamp=None, labels=None),
            "spec": {"containers": None, "hostname": None},
            "status": {
                "podIPs": [None],
                "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": None}],
                "containerStatuses": [{"name": "c", "state": state, "lastState": None}],
            },
        },
    ]
    lost = api.read().pods[1]
    assert lost.status.container_statuses[0].state.terminated == StateTerminated("", 137, "")
    assert lost.metadata.labels == {}
    assert lost.status.pod_ips == []
    assert lost.status.conditions[0].last_transition_time == ""


def test_a_failing_credential_plugin_is_named(server: ApiServer, tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    plugin.write_text("#!/bin/sh\necho 'no session; log in first' >&2\nexit 3\n")
    plugin.chmod(0o755)
    user = {
        "exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": str(plugin)},
    }
    path = write_kubeconfig(tmp_path / "config", server.url, user)
    with pytest.raises(ApiError, match=r"plugin of context test failed: .*log in first"):
        Api.connect(path)


def test_a_broken_key_in_the_kubeconfig_is_not_quoted(server: ApiServer, tmp_path: Path) -> None:
    key = base64.b64encode(b"private").decode() + "!"
    url = server.url.replace("http:", "https:")
    path = write_kubeconfig(
        tmp_path / "config", url, {"client-certificate-data": key[1:], "client-key-data": key}
    )
    with pytest.raises(ApiError, match="Context test") as caught:
        Api.connect(path)
    assert key[1:-1] not in str(caught.value)
