"""The GitHub action and the GitLab component: valid, with the same options, safe with any input."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from tests.test_ci_pipelines import CI, refused_by
from wirecheck.catalogue.profiles import PROFILES
from wirecheck.cli.main import wirecheck

ROOT = CI.parent
ACTION = ROOT / "action.yml"
COMPONENT = ROOT / "templates/wirecheck.yml"
OF_ONE_SYSTEM = {"extras", "python-version", "artifact", "job", "stage", "image", "package"} | {
    "allowed-statuses"
}
"""Inputs about the system's own matters; the others are options of wirecheck in both."""
HOSTILE = "$(touch done) `touch done`; touch done #\"' *"
INPUT = re.compile(r"\$\[\[ inputs\.(\w+) \]\]")
FAKE = """#!/bin/sh
for each; do printf '%s\\0' "$each"; done > words
exit {status}
"""

Values = Mapping[str, Any]


def action() -> Any:
    return yaml.safe_load(ACTION.read_text())


def component(values: Values) -> tuple[Any, Any]:
    """The inputs and the job, with these inputs and the defaults of the others."""
    header, job = yaml.safe_load_all(COMPONENT.read_text())
    inputs = header["spec"]["inputs"]
    given = {name: each["default"] for name, each in inputs.items()}
    given |= {name.replace("-", "_"): value for name, value in values.items()}

    def filled(node: Any) -> Any:
        if isinstance(node, dict):
            return {filled(key): filled(value) for key, value in node.items()}
        if isinstance(node, list):
            return [filled(each) for each in node]
        if not isinstance(node, str):
            return node
        # A value that is nothing but an input keeps the input's type.
        if whole := INPUT.fullmatch(node):
            return given[whole[1]]
        return INPUT.sub(lambda match: str(given[match[1]]), node)

    return inputs, filled(job)


def of_action(values: Values) -> tuple[str, dict[str, str], str]:
    """The script that runs wirecheck, its variables, and where it expects the program."""
    content = action()
    given = {name: each["default"] for name, each in content["inputs"].items()} | {**values}
    (step,) = (each for each in content["runs"]["steps"] if each.get("id") == "run")
    names = {
        key: re.fullmatch(r"\$\{\{ inputs\.([\w-]+) \}\}", v) for key, v in step["env"].items()
    }
    variables = {key: given[match[1]] for key, match in names.items() if match}
    assert len(variables) == len(step["env"])
    return step["run"], variables, "temp/wirecheck/bin"


def of_component(values: Values) -> tuple[str, dict[str, str], str]:
    _, job = component(values)
    ((_, content),) = job.items()
    return "\n".join(content["script"]), content["variables"], ".venv/bin"


BLOCKS = [of_action, of_component]


def run(block: Any, values: Values, folder: Path, status: int = 0) -> tuple[int, list[str]]:
    """Run the script as its system does; return its status and the words for wirecheck."""
    script, variables, place = block(values)
    program = folder / place / "wirecheck"
    program.parent.mkdir(parents=True)
    program.write_text(FAKE.format(status=status))
    program.chmod(0o755)
    ended = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=folder,
        env={
            "PATH": "/usr/bin:/bin",
            "RUNNER_TEMP": f"{folder}/temp",
            "GITHUB_OUTPUT": f"{folder}/output",
            **variables,
        },
        timeout=60,
        check=False,
    )
    return ended.returncode, (folder / "words").read_text().split("\0")[:-1]


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["--inventory=inventory.yaml"]),
        ({"inventory": "", "snapshot": "seen"}, ["--snapshot=seen"]),
        (
            {"profile": "upgrade", "baseline": "reports/before", "wait": "10m"},
            [
                *("--inventory=inventory.yaml", "--profile=upgrade"),
                *("--baseline=reports/before", "--wait=10m"),
            ],
        ),
        (
            {"checks": "dns.*\npods.*\n", "arguments": "--node\nedge one\n\n-o\nslack"},
            [
                *("--inventory=inventory.yaml", "-k", "dns.*", "-k", "pods.*"),
                *("--node", "edge one", "-o", "slack"),
            ],
        ),
    ],
    ids=["defaults", "snapshot", "gate", "lists"],
)
def test_inputs_become_options_that_exist(
    block: Any, values: Values, words: list[str], tmp_path: Path
) -> None:
    status, found = run(block, values, tmp_path)

    assert status == 0
    assert found == ["run", "--fail-on=fail", "--report-dir=reports", *words]
    name, *arguments = found
    wirecheck.commands[name].make_context(name, arguments, parent=click.Context(wirecheck))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize(
    "name",
    [
        *("inventory", "snapshot", "profile", "checks", "fail-on"),
        *("baseline", "wait", "report-dir", "arguments"),
    ],
)
def test_an_input_is_never_part_of_the_script(block: Any, name: str, tmp_path: Path) -> None:
    _, words = run(block, {name: HOSTILE}, tmp_path)

    assert any(HOSTILE in each for each in words)
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("status", [0, 1, 2, 5])
def test_the_status_is_wirechecks(block: Any, status: int, tmp_path: Path) -> None:
    assert run(block, {}, tmp_path, status)[0] == status
    if block is of_action:
        assert (tmp_path / "output").read_text() == f"status={status}\n"


def test_both_have_the_same_inputs_for_wirecheck() -> None:
    ours = {*action()["inputs"]} - OF_ONE_SYSTEM
    theirs = {name.replace("_", "-") for name in component({})[0]} - OF_ONE_SYSTEM

    assert ours == theirs
    readme = " ".join((CI / "README.md").read_text().split())
    assert [name for name in ours if f"`{name}`" not in readme] == []


def test_choices_are_those_of_the_command_line() -> None:
    inputs, _ = component({})
    described = {name: each["description"] for name, each in action()["inputs"].items()}
    (fail_on,) = (each for each in wirecheck.commands["run"].params if each.name == "fail_on")

    assert inputs["profile"]["options"] == ["", *PROFILES]
    assert {*inputs["fail_on"]["options"]} == {*fail_on.type.choices}
    assert [each for each in PROFILES if each not in described["profile"]] == []
    assert [each for each in fail_on.type.choices if each not in described["fail-on"]] == []


def test_every_input_of_the_action_is_used_and_none_is_in_a_script() -> None:
    content = action()
    used = set(re.findall(r"inputs\.([\w-]+)", json.dumps(content["runs"])))

    assert used == set(content["inputs"])
    assert [step for step in content["runs"]["steps"] if "${{" in step.get("run", "")] == []


def test_github_would_take_the_action(tmp_path: Path) -> None:
    broken = tmp_path / "action.yml"
    broken.write_text(ACTION.read_text().replace("using: composite", "using: compost"))

    assert refused_by("vendor.github-actions", ACTION) == ""
    assert refused_by("vendor.github-actions", broken)


@pytest.mark.parametrize("part", ["inputs", "job"])
def test_gitlab_would_take_the_component(part: str, tmp_path: Path) -> None:
    header, _ = yaml.safe_load_all(COMPONENT.read_text())
    content = header if part == "inputs" else component({"job": "network", "stage": "after"})[1]
    good, bad = tmp_path / "good.yml", tmp_path / "bad.yml"
    good.write_text(yaml.safe_dump(content))
    bad.write_text(good.read_text().replace("type: array", "type: list").replace("when:", "whne:"))

    assert refused_by("vendor.gitlab-ci", good) == ""
    assert refused_by("vendor.gitlab-ci", bad)


def test_the_job_of_the_component_is_named_and_allows_what_is_asked() -> None:
    _, job = component({"job": "network", "allowed_statuses": [1, 2], "report-dir": "out"})

    assert list(job) == ["network"]
    assert job["network"]["allow_failure"] == {"exit_codes": [1, 2]}
    assert job["network"]["artifacts"]["paths"] == ["out/"]


def test_the_examples_give_inputs_that_exist() -> None:
    workflow = yaml.safe_load((CI / "github-action.yml").read_text())
    (step,) = (
        each for each in workflow["jobs"]["wirecheck"]["steps"] if each.get("uses") == "./wirecheck"
    )
    (included,) = yaml.safe_load((CI / "gitlab-component.yml").read_text())["include"]

    assert set(step["with"]) <= set(action()["inputs"])
    assert set(included["inputs"]) <= set(component({})[0])


def test_the_action_installs_the_package_of_its_own_checkout() -> None:
    (step,) = (each for each in action()["runs"]["steps"] if each.get("name") == "Install")

    assert step["env"]["SOURCE"] == "${{ github.action_path }}"
    assert '"$SOURCE${EXTRAS:+[$EXTRAS]}"' in step["run"]
    assert (ACTION.parent / "pyproject.toml").exists()
    assert sys.version_info >= (3, 11)
