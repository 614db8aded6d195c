"""What the pods of runs may do: the same for every Job, and as the comments say."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
POLICY = DEPLOY / "base/network-policy.yaml"
PLUGIN = "sonobuoy/plugin.yaml"

Tree = Mapping[str, Any]


def pod_of(document: Tree) -> dict[str, Any] | None:
    """The pod of a Job, a CronJob or Sonobuoy's plugin, with its one container."""
    if "sonobuoy-config" in document:
        return {**document["podSpec"], "containers": [document["spec"]]}
    spec = document.get("spec") or {}
    if document.get("kind") == "CronJob":
        spec = spec["jobTemplate"]["spec"]
    elif document.get("kind") != "Job":
        return None
    # The limit may be the Job's or the pod's.
    return {"activeDeadlineSeconds": spec["activeDeadlineSeconds"], **spec["template"]["spec"]}


def pods() -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted(DEPLOY.rglob("*.yaml")):
        if "templates" in path.parts:  # a chart's, which are no YAML yet
            continue
        for document in yaml.safe_load_all(path.read_text()):
            if isinstance(document, dict) and (pod := pod_of(document)):
                found[str(path.relative_to(DEPLOY))] = pod
    return found


PODS = pods()
REFERENCE = PODS["overlays/health-reports/cronjob.yaml"]


def restrictions(pod: Tree) -> dict[str, Any]:
    """Everything that limits what the pod may do and use, apart from sizes."""
    (container,) = pod["containers"]
    volumes = {each["name"]: each for each in pod["volumes"]}
    writable = {
        each["mountPath"]: sorted(volumes[each["name"]]["emptyDir"])
        for each in container["volumeMounts"]
        if "emptyDir" in volumes.get(each["name"], {})
    }
    return {
        "pod": pod["securityContext"],
        "container": container["securityContext"],
        "resources": {kind: sorted(values) for kind, values in container["resources"].items()},
        "restart": pod["restartPolicy"],
        "service links": pod["enableServiceLinks"],
        "deadline": pod["activeDeadlineSeconds"] <= 3600,
        "writable": writable,
        "host": sorted(key for key in pod if key.startswith("host")),
    }


@pytest.mark.parametrize("name", ["deploy/README.md", "SECURITY.md", f"deploy/{PLUGIN}"])
def test_whoever_grants_access_to_agents_reads_what_it_means(name: str) -> None:
    """An agent has its node's namespaces and CAP_SYS_ADMIN: a shell in it is one on the node."""
    text = " ".join(re.sub(r"^#", "", (ROOT / name).read_text(), flags=re.MULTILINE).split())

    assert re.search(r"`pods/exec` in (?:the agents'|that) namespace is root on every node", text)


def test_there_are_jobs_to_compare() -> None:
    assert {PLUGIN, "overlays/large-cluster/job.yaml"} < set(PODS)
    assert len(PODS) >= 4


@pytest.mark.parametrize("name", PODS)
def test_every_run_has_the_same_restrictions(name: str) -> None:
    assert restrictions(PODS[name]) == restrictions(REFERENCE)


def test_the_reference_is_strict() -> None:
    found = restrictions(REFERENCE)

    assert found["pod"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert found["container"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert found["resources"] == {"requests": ["cpu", "memory"], "limits": ["memory"]}
    assert found["writable"] == {"/tmp": ["sizeLimit"]}
    assert (found["service links"], found["host"]) == (False, [])


@pytest.mark.parametrize(
    "path",
    [
        ("securityContext", "runAsNonRoot"),
        ("securityContext", "seccompProfile"),
        ("containers", 0, "securityContext", "readOnlyRootFilesystem"),
        ("containers", 0, "securityContext", "capabilities"),
        ("containers", 0, "resources", "limits"),
        ("enableServiceLinks",),
    ],
    ids=str,
)
def test_a_restriction_that_is_missing_is_noticed(path: tuple[Any, ...]) -> None:
    pod: Any = copy.deepcopy(PODS[PLUGIN])
    inner = pod
    for key in path[:-1]:
        inner = inner[key]
    inner.pop(path[-1])

    try:
        found = restrictions(pod)
    except KeyError:
        return
    assert found != restrictions(REFERENCE)


def test_what_needs_no_token_has_none() -> None:
    """Runs read the API; agents do not."""
    agents = yaml.safe_load((DEPLOY / "agent/daemonset.yaml").read_text())
    runs = [pod for name, pod in PODS.items() if name != PLUGIN]

    assert agents["spec"]["template"]["spec"]["automountServiceAccountToken"] is False
    assert {pod["serviceAccountName"] for pod in runs} == {"wirecheck"}
    assert PODS[PLUGIN]["serviceAccountName"] == "sonobuoy-serviceaccount"


# The NetworkPolicy of runs.


def policy() -> Any:
    return yaml.safe_load(POLICY.read_text())


def comment() -> str:
    lines = [line[1:] for line in POLICY.read_text().splitlines() if line.startswith("#")]
    return "\n".join(lines)


def test_the_policy_allows_what_its_comment_says() -> None:
    spec = policy()["spec"]
    (rule,) = spec["egress"]
    said = re.search(r"TCP connections to the ports (\d+) and (\d+)", comment())

    assert said
    assert rule == {"ports": [{"protocol": "TCP", "port": int(port)} for port in said.groups()]}
    # No rule for incoming connections: none is allowed.
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in spec
    # Without `to` a rule is for every address, and the comment must not claim less.
    assert "at any address" in comment()


def test_the_policy_selects_the_pods_of_runs_and_no_agents() -> None:
    labels = policy()["spec"]["podSelector"]["matchLabels"]
    templates = []
    for path in sorted((DEPLOY / "overlays").rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document.get("kind") in ("Job", "CronJob"):
                spec = document["spec"]
                job = spec["jobTemplate"]["spec"] if document["kind"] == "CronJob" else spec
                templates.append(job["template"]["metadata"]["labels"])
    agents = yaml.safe_load((DEPLOY / "agent/daemonset.yaml").read_text())["spec"]["template"]

    assert len(templates) == 3
    assert all(labels.items() <= each.items() for each in templates)
    assert not labels.items() <= agents["metadata"]["labels"].items()
    # No policy applies to the host network, as the comment says.
    assert agents["spec"]["hostNetwork"] is True


def test_the_patches_of_the_comment_fit_the_policy() -> None:
    """They are JSON patches (RFC 6902) with the operation `add`, the only one used."""
    snippets = re.findall(r"^( +- op: add\n(?:   +.*\n?)+)", comment(), re.MULTILINE)
    assert len(snippets) == 2

    patched = policy()
    for snippet in snippets:
        (operation,) = yaml.safe_load(snippet)
        target: Any = patched
        *inner, last = operation["path"].strip("/").split("/")
        for key in inner:
            target = target[int(key)] if isinstance(target, list) else target[key]
        if isinstance(target, list):
            assert last == "-"
            target.append(operation["value"])
        else:
            target[last] = operation["value"]

    first, second = patched["spec"]["egress"]
    assert [set(each) for each in first["to"]] == [{"ipBlock"}, {"ipBlock"}]
    assert {each["port"] for each in first["ports"]} == {443, 6443}
    assert {(each["protocol"], each["port"]) for each in second["ports"]} == {
        ("UDP", 53),
        ("TCP", 53),
    }


# What `pods/exec` means.

ROOT_ON_NODES = re.compile(r"root\s+on\s+(?:every|all)\s+nodes?")


@pytest.mark.parametrize(
    "name",
    [
        "SECURITY.md",
        "deploy/README.md",
        "docs/inventory.md",
        "deploy/base/agents-role.yaml",
        "deploy/namespace/namespace.yaml",
        "deploy/sonobuoy/plugin.yaml",
    ],
)
def test_it_is_said_that_exec_into_agents_is_root_on_the_nodes(name: str) -> None:
    text = re.sub(r"\n\s*#?\s*", " ", (ROOT / name).read_text())

    said = [each for each in re.split(r"(?<=[.:]) ", text) if "pods/exec" in each]
    assert any(ROOT_ON_NODES.search(each) for each in said), said


def test_every_role_that_grants_exec_says_so() -> None:
    """Wherever the right is granted, in any file that can be applied or copied."""
    granting = [
        path
        for folder in ("deploy", "docs", "examples")
        for path in sorted((ROOT / folder).rglob("*"))
        if path.suffix in {".yaml", ".yml", ".md", ".tpl"}
        and re.search(r"resources: *\[?\"?pods/exec", path.read_text())
    ]

    assert ROOT / "docs/inventory.md" in granting
    silent = [
        str(path.relative_to(ROOT))
        for path in granting
        if not ROOT_ON_NODES.search(re.sub(r"\n\s*#?\s*", " ", path.read_text()))
    ]
    assert silent == []


def report_commands(pod: Tree) -> list[str]:
    """The pod's commands that leave a report on the volume, continued lines joined."""
    (container,) = pod["containers"]
    words = [*container.get("command", ()), *container.get("args", ())]
    text = re.sub(r"\\\n\s*", "", "\n".join(words)) if "sh" in words else " ".join(words)
    return [line for line in text.splitlines() if re.search(r"--report-dir=/results(?: |$)", line)]


@pytest.mark.parametrize("name", [each for each in PODS if each != PLUGIN])
def test_reports_on_the_volume_admit_readers_of_its_group(name: str) -> None:
    """Whatever collects them has another uid: it gets the volume's group, as fsGroup gives it."""
    (command,) = report_commands(PODS[name])

    assert "--report-mode=0750" in command.split()
    security = PODS[name]["securityContext"]
    assert security["fsGroup"] == security["runAsGroup"]
