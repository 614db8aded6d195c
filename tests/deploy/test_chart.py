"""The chart makes the objects of the overlay `health-reports`, and refuses impossible values."""

from __future__ import annotations

import copy
import json
import subprocess
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from testbed.deploy.chart import HELM, VERSION, values_for
from testbed.deploy.overlay import Document
from testbed.state import SOURCE
from wirecheck.catalogue.profiles import PROFILES
from wirecheck.cli.main import wirecheck
from wirecheck.inventory.file import read_inventory

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy/chart"
OVERLAY = ROOT / "deploy/overlays/health-reports"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
DEFAULTS = yaml.safe_load((CHART / "values.yaml").read_text())
VALIDATOR = Draft7Validator(SCHEMA)
PUBLISHING = tomllib.loads((ROOT / "publishing.toml").read_text())
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
INVENTORY = "wirecheck-inventory"

Objects = dict[str, Document]


def ended(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)


def objects(text: str) -> Objects:
    """The objects by kind and name; the name of the inventory without kustomize's digest."""
    found = {}
    for each in yaml.safe_load_all(text):
        name = each["metadata"]["name"]
        name = INVENTORY if name.startswith(INVENTORY) else name
        found[f"{each['kind']} {name}"] = each
    return found


def template(values: Document, namespace: str = "wirecheck") -> subprocess.CompletedProcess[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(values, file)
        file.flush()
        return ended(
            *("helm", "template", "wirecheck", CHART, "--namespace", namespace),
            *("--values", file.name),
        )


def rendered(values: Document, namespace: str = "wirecheck") -> Objects:
    result = template(values, namespace)
    assert result.returncode == 0, result.stderr
    return objects(result.stdout)


def inventory_of(made: Objects) -> Any:
    text = made[f"ConfigMap {INVENTORY}"]["data"]["inventory.yaml"]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        return read_inventory(Path(file.name))


def comparable(made: Objects) -> Objects:
    """The objects without what Helm and kustomize each add in a way of their own."""
    found = copy.deepcopy(made)
    # A chart does not make its release's namespace: README.md applies it first.
    found.pop("Namespace wirecheck", None)
    for each in found.values():
        each["metadata"] = {"namespace": each["metadata"].get("namespace")}
    found[f"ConfigMap {INVENTORY}"]["data"] = None
    pod = found["CronJob wirecheck"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    for volume in pod["volumes"]:
        volume.pop("configMap", None)
    # Kubernetes' own default for an image with a version.
    assert pod["containers"][0].pop("imagePullPolicy", "IfNotPresent") == "IfNotPresent"
    return found


@pytest.fixture(scope="module")
def of_overlay() -> Objects:
    result = ended("kubectl", "kustomize", OVERLAY)
    assert result.returncode == 0, result.stderr
    return objects(result.stdout)


# Rendered by Helm.


@pytest.mark.needs("helm")
def test_helm_finds_nothing_wrong() -> None:
    result = ended("helm", "lint", "--strict", CHART)

    assert result.returncode == 0, result.stdout + result.stderr
    assert "[WARNING]" not in result.stdout


@pytest.mark.needs("helm", "kubectl")
def test_the_chart_makes_the_objects_of_the_overlay(of_overlay: Objects) -> None:
    made = rendered({"image": "wirecheck"})

    assert comparable(made) == comparable(of_overlay)
    assert inventory_of(made) == inventory_of(of_overlay)


@pytest.mark.needs("helm", "kubectl")
def test_an_object_that_differs_is_noticed(of_overlay: Objects) -> None:
    for values in (
        {"networkPolicy": {"ports": [443]}},
        {"run": {"keep": 24}},
        {"agents": {"daemonSet": False}},
        {"results": {"size": "2Gi"}},
    ):
        made = rendered({"image": "wirecheck", **values})
        assert comparable(made) != comparable(of_overlay), values


@pytest.mark.needs("helm")
def test_every_object_has_helms_labels_and_the_release_is_its_owner() -> None:
    for name, each in rendered({}).items():
        labels = each["metadata"]["labels"]
        assert labels["app.kubernetes.io/managed-by"] == "Helm", name
        assert labels["app.kubernetes.io/version"] == PROJECT["version"], name


@pytest.mark.needs("helm")
def test_the_volume_of_the_test_cluster() -> None:
    claim = rendered(values_for("x/wirecheck:1"))["PersistentVolumeClaim wirecheck-results"]

    # An empty class is not the default one.
    assert claim["spec"]["storageClassName"] == ""
    assert claim["spec"]["volumeName"] == "wirecheck-results"
    assert "storageClassName" not in rendered({})["PersistentVolumeClaim wirecheck-results"]["spec"]


@pytest.mark.needs("helm")
def test_an_existing_claim_is_used() -> None:
    made = rendered({"results": {"existingClaim": "mine"}})
    pod = made["CronJob wirecheck"]["spec"]["jobTemplate"]["spec"]["template"]["spec"]

    assert "PersistentVolumeClaim wirecheck-results" not in made
    assert {"name": "results", "persistentVolumeClaim": {"claimName": "mine"}} in pod["volumes"]


@pytest.mark.needs("helm")
def test_runs_that_make_their_agents_know_the_image_and_may_make_pods() -> None:
    made = rendered(
        {"image": "x/wirecheck:1", "imagePullSecrets": ["key"], "agents": {"daemonSet": False}},
        namespace="elsewhere",
    )
    agent = inventory_of(made).agent
    verbs = {verb for rule in made["Role wirecheck-agents"]["rules"] for verb in rule["verbs"]}

    assert "DaemonSet wirecheck-agent" not in made
    assert (agent.namespace, agent.image) == ("elsewhere", "x/wirecheck:1")
    assert list(agent.pull_secrets) == ["key"]
    assert {"create", "list", "deletecollection"} <= verbs
    assert "deletecollection" not in str(rendered({})["Role wirecheck-agents"])


@pytest.mark.needs("helm")
def test_another_namespace_is_named_everywhere() -> None:
    made = rendered({}, namespace="elsewhere")
    namespaces = {each["metadata"].get("namespace", "elsewhere") for each in made.values()}
    subjects = [
        subject["namespace"]
        for name in ("ClusterRoleBinding wirecheck", "RoleBinding wirecheck-agents")
        for subject in made[name]["subjects"]
    ]

    assert namespaces == {"elsewhere"}
    assert subjects == ["elsewhere", "elsewhere"]
    assert inventory_of(made).agent.namespace == "elsewhere"


@pytest.mark.needs("helm")
def test_the_inventory_is_taken_as_it_is() -> None:
    waiver = {"check": "conntrack.*", "where": "edge-*", "reason": "old: {{ machines }} # x",
              "owner": "ops", "until": "2099-01-31"}  # fmt: skip
    read = inventory_of(rendered({"inventory": {"cluster_name": "prod", "waivers": [waiver]}}))

    assert read.cluster_name == "prod"
    assert read.waivers[0].reason == "old: {{ machines }} # x"
    assert [each.name for each in read.nodes] == ["*"]


@pytest.mark.needs("helm")
def test_the_policy_names_addresses_and_dns_if_asked() -> None:
    values = {"networkPolicy": {"addresses": ["10.96.0.1/32"], "dns": True, "ports": [16443]}}
    first, dns = rendered(values)["NetworkPolicy wirecheck"]["spec"]["egress"]

    assert first == {
        "ports": [{"protocol": "TCP", "port": 16443}],
        "to": [{"ipBlock": {"cidr": "10.96.0.1/32"}}],
    }
    assert {each["port"] for each in dns["ports"]} == {53}
    assert "NetworkPolicy wirecheck" not in rendered({"networkPolicy": {"enabled": False}})


@pytest.mark.needs("helm")
def test_pods_of_runs_take_secrets_tolerations_and_further_options() -> None:
    toleration = {"key": "infra", "operator": "Exists"}
    hook = {"name": "SLACK_WEBHOOK_URL", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}}
    run = {"tolerations": [toleration], "nodeSelector": {"role": "infra"}, "env": [hook],
           "arguments": ["--output=slack"], "timeZone": "Etc/UTC", "suspend": True}  # fmt: skip
    made = rendered({"imagePullSecrets": ["key"], "run": run})
    spec = made["CronJob wirecheck"]["spec"]
    pod = spec["jobTemplate"]["spec"]["template"]["spec"]
    agents = made["DaemonSet wirecheck-agent"]["spec"]["template"]["spec"]

    assert (spec["timeZone"], spec["suspend"]) == ("Etc/UTC", True)
    assert (pod["tolerations"], pod["nodeSelector"]) == ([toleration], {"role": "infra"})
    assert pod["containers"][0]["env"] == [{"name": "HOME", "value": "/tmp"}, hook]
    assert pod["containers"][0]["args"][-1] == "--output=slack"
    assert pod["imagePullSecrets"] == agents["imagePullSecrets"] == [{"name": "key"}]


@pytest.mark.needs("helm")
def test_helm_refuses_a_value_that_does_not_exist() -> None:
    result = template({"networkpolicy": {"enabled": False}})

    assert result.returncode != 0
    assert "networkpolicy" in result.stderr


# Without Helm.


def changed(path: str, value: object) -> Document:
    values = copy.deepcopy(DEFAULTS)
    *folders, name = path.split(".")
    inner = values
    for each in folders:
        inner = inner[each]
    inner[name] = value
    return values


def test_the_default_values_are_valid_and_all_described_by_the_schema() -> None:
    assert list(VALIDATOR.iter_errors(DEFAULTS)) == []
    for name, part in DEFAULTS.items():
        known = SCHEMA["properties"][name].get("properties")
        if known and name != "inventory":
            assert set(part) == set(known), name


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("image", ""),
        ("imagePullPolicy", "Sometimes"),
        ("imagePullSecrets", [{"name": "key"}]),
        ("agents.daemonset", True),
        ("agents.resources", {"limits": {"cpu": 1}}),
        ("inventory", {}),
        ("inventory.agent", {"image": "another"}),
        ("run.schedule", "hourly"),
        ("run.profile", "night"),
        ("run.failOn", "error"),
        ("run.keep", 0),
        ("run.deadline", 7200),
        ("run.env", [{"name": "HOME", "value": "/root"}]),
        ("results.size", "much"),
        ("results.accessModes", ["ReadOnlyMany"]),
        ("networkPolicy.ports", []),
        ("networkPolicy.ports", ["443"]),
        ("networkPolicy.addresses", ["10.96.0.1"]),
    ],
)
def test_a_value_that_makes_no_sense_is_refused(path: str, value: object) -> None:
    assert list(VALIDATOR.iter_errors(changed(path, value)))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("image", "registry.example:5000/a/wirecheck@sha256:0123"),
        ("run.schedule", "@daily"),
        ("run.schedule", "*/15 2-4 * * 1"),
        ("run.profile", ""),
        ("results.storageClassName", ""),
        ("networkPolicy.addresses", ["fd00:96::1/128"]),
        ("inventory.waivers", []),
        ("inventory.agent", {"start": 90}),
    ],
)
def test_a_value_that_makes_sense_is_accepted(path: str, value: object) -> None:
    assert list(VALIDATOR.iter_errors(changed(path, value))) == []


def test_profiles_and_outcomes_are_those_of_the_command_line() -> None:
    run = SCHEMA["properties"]["run"]["properties"]
    (fail_on,) = (each for each in wirecheck.commands["run"].params if each.name == "fail_on")

    assert run["profile"]["enum"] == ["", *PROFILES]
    assert set(run["failOn"]["enum"]) == set(fail_on.type.choices)


def test_versions_and_the_image_are_those_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())

    assert chart["version"] == chart["appVersion"] == PROJECT["version"]
    assert DEFAULTS["image"] == f"{PUBLISHING['image']}:{PROJECT['version']}"


def test_the_rules_are_those_of_the_base() -> None:
    """They have no values in them, so a machine without Helm can compare them as well."""
    for name in ("cluster-role.yaml", "agents-role.yaml"):
        base = (ROOT / "deploy/base" / name).read_text().splitlines()
        chart = (CHART / "templates" / name).read_text().splitlines()
        rules = [line for line in base if line.startswith("  - {apiGroups")]

        assert rules
        always = [line for line in chart if line.startswith("  - {apiGroups")]
        assert always[: len(rules)] == rules
        assert all("deletecollection" in line for line in always[len(rules) :])


def test_the_release_of_helm_is_the_one_that_is_built() -> None:
    module = (SOURCE / "components" / HELM.module / "go.mod").read_text()

    assert f"helm.sh/helm/v4 {VERSION}\n" in module
