"""The proof of read-only can fail: what is left behind is noticed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import yaml

from testbed.kubeadm import AUDIT_LOG, audit_policy, init_configuration
from testbed.layout import Layout
from testbed.readonly import audit, node_state
from testbed.readonly.comparison import Difference, differences, is_of_an_exec

EVENT = {
    "verb": "list",
    "requestURI": "/api/v1/pods?limit=1000",
    "userAgent": "wirecheck/0.1.0",
    "user": {"username": "kubernetes-admin"},
    "objectRef": {"resource": "pods"},
}


def test_differences_name_what_is_new_gone_and_changed() -> None:
    before = {"n1": {"files": {"/a": "1", "/b": "2", "/c": "3"}}}
    after = {"n1": {"files": {"/a": "1", "/b": "9", "/d": ""}, "links": {"x": "1"}}}

    assert sorted(map(str, differences(before, after))) == [
        "n1: files: /b: was 2, is 9",
        "n1: files: gone: /c (3)",
        "n1: files: new: /d (empty)",
        "n1: links: new: x (1)",
    ]
    assert not differences(before, before)


@pytest.mark.parametrize(
    ("section", "what", "expected"),
    [
        ("files", "/run/containerd/runc/k8s.io/a1/.", True),
        ("files", "/tmp/.", True),
        ("files", "/tmp/left-behind", False),
        ("files", "/run/xtables.lock", False),
        ("processes", "/tmp/.", False),
    ],
)
def test_what_a_command_in_a_pod_moves_by_itself(section: str, what: str, expected: bool) -> None:
    assert is_of_an_exec(Difference("wc-w1", section, what, "was", "is")) is expected


def log(*events: dict[str, object]) -> list[str]:
    return [json.dumps(EVENT | event) for event in events]


def test_requests_of_others_do_not_count() -> None:
    other = {"userAgent": "kubectl/v1.34.4", "verb": "delete"}
    version = {"verb": "get", "objectRef": None, "requestURI": "/version?x=1"}

    requests = audit.counted(log({}, {}, other, version))

    assert {(each.verb, each.resource): n for each, n in requests.items()} == {
        ("list", "pods"): 2,
        ("get", "/version"): 1,
    }
    assert audit.objections(requests) == []


@pytest.mark.parametrize("verb", ["create", "patch", "update", "delete", "deletecollection"])
def test_any_other_verb_is_an_objection(verb: str) -> None:
    requests = audit.counted(log({}, {"verb": verb}))

    assert audit.objections(requests) == [f"The audit log shows {verb} pods by kubernetes-admin."]


def by_kubectl(verb: str, **reference: str) -> dict[str, object]:
    return {"verb": verb, "userAgent": "kubectl/v1.34.4", "objectRef": reference}


def test_entering_a_pod_is_for_agents_alone() -> None:
    entered = [
        by_kubectl("get", resource="pods", name="a"),
        by_kubectl("create", resource="pods", subresource="exec", name="a"),
    ]
    requests = audit.counted(log({}, *entered), by_kubectl=True)

    assert audit.objections(requests, enters_pods=True) == []
    assert audit.objections(requests) == [
        "The audit log shows create pods/exec by kubernetes-admin."
    ]


def test_a_command_in_a_pod_is_no_reading_whatever_its_verb() -> None:
    entered = by_kubectl("get", resource="pods", subresource="exec", name="a")

    assert audit.objections(audit.counted(log(entered), by_kubectl=True)) != []


def test_a_run_by_agents_that_entered_no_pod_proves_nothing() -> None:
    said = audit.objections(audit.counted(log({})), enters_pods=True)

    assert said == ["The audit log shows no command in a pod: the agents were not used."]


def test_no_request_at_all_proves_nothing() -> None:
    assert "proves nothing" in audit.objections({})[0]


def test_the_api_server_is_told_to_keep_the_log() -> None:
    policy = yaml.safe_load(audit_policy())
    assert policy["rules"][-1] == {"level": "Metadata"}
    documents = yaml.safe_load_all(init_configuration(Layout("192.0.2.0/24"), "t", "iptables"))
    cluster = {each["kind"]: each for each in documents}["ClusterConfiguration"]
    given = {each["name"]: each["value"] for each in cluster["apiServer"]["extraArgs"]}
    assert given["audit-log-path"] == AUDIT_LOG
    mounted = {each["mountPath"] for each in cluster["apiServer"]["extraVolumes"]}
    assert given["audit-policy-file"] in mounted


def test_the_time_of_a_folder_that_an_agent_makes_anew_is_not_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    endpoint, other = tmp_path / "state" / "1407", tmp_path / "other"
    for folder in (endpoint, other):
        folder.mkdir(parents=True)
        (folder / "ep_config.h").touch()
    monkeypatch.setattr(node_state, "WALKED", (str(tmp_path),))
    monkeypatch.setattr(node_state, "REMADE", f"{tmp_path}/state/")
    before = node_state.files()

    for changed in (endpoint, other, endpoint / "ep_config.h"):
        os.utime(changed, ns=(1, 1))
    after = node_state.files()

    assert {path for path in before if before[path] != after[path]} == {
        f"{other}",
        f"{other}/.",
        f"{endpoint}/ep_config.h",
    }
