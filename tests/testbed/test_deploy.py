"""How the proof of deploy/ judges, on records of what a test cluster has shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from testbed.deploy.results import Report, differences, read_report
from testbed.deploy.retention import KILLED, kept, wrong
from testbed.deploy.rights import ACCOUNT, Right, objections, requested
from wirecheck.collect.pods.agent_manifest import agent_pod, agent_spec
from wirecheck.inventory.file import Agent, HelperPods, read_inventory

DEPLOY = Path(__file__).parents[2] / "deploy"
OF_KUBERNETES = {
    "",
    "apps",
    "discovery.k8s.io",
    "networking.k8s.io",
    "node.k8s.io",
    "rbac.authorization.k8s.io",
}
LIST = Right("list", "nodes")
KUBE_PROXY = Right("get", "configmaps", "kube-proxy")
EXEC = Right("create", "pods/exec", where="wirecheck")
OTHER_EXEC = Right("get", "pods/exec", where="wirecheck")


def event(verb: str, resource: str, *, user: str = ACCOUNT, code: int = 200, **named: str) -> str:
    reference: dict[str, Any] = {"resource": resource, **named}
    return json.dumps(
        {
            "verb": verb,
            "user": {"username": user},
            "objectRef": reference,
            "responseStatus": {"code": code},
        }
    )


def test_a_right_is_taken_by_a_request_of_the_account_alone() -> None:
    lines = [
        event("list", "nodes"),
        event("list", "secrets", user="kubernetes-admin"),
        event("get", "configmaps", name="kube-proxy", namespace="kube-system"),
        event("create", "pods", subresource="exec", name="a", namespace="wirecheck"),
    ]

    taken, refused = requested(lines, {LIST, KUBE_PROXY, EXEC})

    assert (taken, refused) == ({LIST, KUBE_PROXY, EXEC}, [])


def test_a_right_in_one_namespace_is_none_in_another() -> None:
    helper = Right("create", "pods", where="wirecheck-helpers")
    lines = [
        event("create", "pods", namespace="wirecheck-helpers"),
        event("create", "pods", namespace="wirecheck"),
    ]

    taken, _ = requested(lines, {helper})

    assert taken == {helper, Right("create", "pods")}


def test_a_refused_request_is_told() -> None:
    taken, refused = requested([event("get", "secrets", name="a", code=403)], {LIST})

    assert (taken, refused) == (set(), ["get secrets a"])


def test_what_the_cronjob_leaves_on_its_volume() -> None:
    old, now = "2020-01-02T00-01-00Z", "2026-11-27T10-17-00Z"

    assert kept() > 1
    assert wrong([old, now], 2) == []
    assert wrong([old, now, KILLED], 2) == [f"left behind: {KILLED}"]
    assert wrong([old, now], 1) == ["2 reports are left of which 1 were to stay"]
    assert wrong([old], 1) == ["the run's own report is not among them"]


def test_a_needless_right_and_a_missing_one_are_wrong() -> None:
    assert objections({LIST, EXEC, OTHER_EXEC}, {LIST, EXEC}, []) == []
    assert objections({LIST, KUBE_PROXY}, {LIST}, []) == [
        "granted and not used: get configmaps kube-proxy"
    ]
    assert "used and not granted" in objections({LIST}, {LIST, KUBE_PROXY}, [])[0]
    assert objections({LIST}, {LIST}, ["get secrets a"]) == ["refused: get secrets a"]


def test_rights_for_other_networks_are_not_needless() -> None:
    """The test cluster's network has no objects of its own, which would be read."""
    role, *_ = yaml.safe_load_all(Path("deploy/base/cluster-role.yaml").read_text())
    of_networks = {
        Right("list", resource)
        for rule in role["rules"]
        for resource in rule["resources"]
        if not set(rule["apiGroups"]) & OF_KUBERNETES
    }

    assert of_networks
    assert objections(of_networks - {Right("list", "networkpolicies")}, set(), []) == []


def test_two_runs_differ_in_an_item_or_in_its_outcome() -> None:
    text = "\n".join(
        [
            '{"type": "run"}',
            '{"type": "item", "check": "a", "outcome": "pass", "node": "n1"}',
            '{"type": "item", "check": "b", "outcome": "fail"}',
            '{"type": "end", "coverage": {"nodes_seen": 1}}',
        ]
    )
    report = read_report(text)

    assert report.coverage == {"nodes_seen": 1}
    assert report.red == ["b[]"]
    assert differences(report, report) == []
    other = Report({("a", "n1"): "fail"}, {})
    assert differences(report, other) == ["a[n1]: pass and fail", "b[]: fail and not there"]


def test_the_daemonset_may_what_a_pod_for_the_run_may() -> None:
    daemonset = yaml.safe_load((DEPLOY / "agent/daemonset.yaml").read_text())
    template = daemonset["spec"]["template"]

    assert template["spec"] == agent_spec(Agent(image="wirecheck"))
    # `wirecheck clean` must not take the DaemonSet's pods for left-overs.
    made = agent_pod(Agent(image="x"), "n", "p", "r", 1)["metadata"]["labels"]
    assert template["metadata"]["labels"].items() < made.items()
    assert "app.kubernetes.io/managed-by" not in template["metadata"]["labels"]


def test_who_may_make_helper_pods_may_so_where_nothing_privileged_is_admitted() -> None:
    namespace = yaml.safe_load((DEPLOY / "helper-pods/namespace.yaml").read_text())["metadata"]
    overlay = DEPLOY / "overlays/preprod"
    role, binding = yaml.safe_load_all((overlay / "helpers-role.yaml").read_text())

    assert namespace["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert namespace["name"] == HelperPods().namespace
    assert role["kind"] == "Role"
    assert {role["metadata"]["namespace"], binding["metadata"]["namespace"]} == {namespace["name"]}
    (rule,) = role["rules"]
    assert rule == {
        "apiGroups": [""],
        "resources": ["pods"],
        "verbs": ["create", "list", "deletecollection"],
    }


def test_helper_pods_are_asked_for_by_their_overlay_alone() -> None:
    asking = {
        path.parent.name
        for path in DEPLOY.rglob("*.yaml")
        if any(word in path.read_text() for word in ("--helper-pods", "always: true"))
    }
    assert asking == {"preprod"}


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("inventory.yaml")), ids=str)
def test_each_inventory_can_be_read(path: Path) -> None:
    assert read_inventory(path).nodes[0].access == "kubectl://"


def test_sonobuoys_inventory_can_be_read(tmp_path: Path) -> None:
    plugin = yaml.safe_load((DEPLOY / "sonobuoy/plugin.yaml").read_text())
    path = tmp_path / "inventory.yaml"
    path.write_text(plugin["config-map"]["inventory.yaml"])

    assert read_inventory(path).agent.namespace == "sonobuoy"
    assert plugin["sonobuoy-config"]["result-format"] == "manual"


def test_every_run_has_a_limit_for_its_memory_and_cannot_become_root() -> None:
    found = 0
    for path in sorted((DEPLOY / "overlays").rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document.get("kind") not in ("CronJob", "Job"):
                continue
            spec = document["spec"]
            job = spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec
            pod = job["template"]["spec"]
            (container,) = pod["containers"]
            found += 1
            assert pod["securityContext"]["runAsNonRoot"]
            assert container["resources"]["limits"]["memory"]
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert container["securityContext"]["readOnlyRootFilesystem"]
            assert job["activeDeadlineSeconds"]
    assert found == 3
