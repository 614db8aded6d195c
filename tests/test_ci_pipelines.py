"""The pipelines to copy: valid by their systems' schemas, and all with the same gate."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from testbed.upgrade.gate import read_steps
from tests.needs import find
from wirecheck.cli.main import wirecheck

CI = Path(__file__).parent.parent / "ci"
JENKINS = CI / "Jenkinsfile"
ARGO = CI / "argo.yml"
BLOCKS = [CI / "github-action.yml", CI / "gitlab-component.yml"]
"""They call wirecheck through the action and the component: tests/test_ci_building_blocks.py."""
PIPELINES = [*sorted({*CI.glob("*.yml")} - {*BLOCKS}), JENKINS]
GATES = [CI / "github-upgrade.yml", CI / "gitlab-upgrade.yml", JENKINS, ARGO]
CALL = re.compile(r"(?:^|[\s'])wirecheck ((?:run|list|explain|doctor|diff) .*)")


def calls(pipeline: Path) -> list[list[str]]:
    """The arguments of every call of wirecheck, in the order of the file."""
    if pipeline == ARGO:
        spec = yaml.safe_load(pipeline.read_text())["spec"]
        ours = [each["container"] for each in spec["templates"] if "container" in each]
        assert spec["templateDefaults"]["container"]["command"] == ["wirecheck"]
        return [each["args"] for each in ours if "command" not in each]
    # A continued line, in shell's way or in YAML's.
    text = re.sub(r"(?:\\)?\n\s*(?=--baseline)", " ", pipeline.read_text())
    found = [
        match[1]
        for line in text.splitlines()
        if not re.match(r"\s*(#|//|-?\s*name:)", line) and (match := CALL.search(line))
    ]
    return [shlex.split(re.split(r"\s\|\||'", each)[0]) for each in found]


def refused_by(schema: str, file: Path) -> str:
    """What check-jsonschema says against the file, by a schema that comes with it."""
    ended = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return ended.stdout + ended.stderr if ended.returncode else ""


@pytest.mark.parametrize("pipeline", PIPELINES, ids=lambda path: path.name)
def test_a_pipeline_calls_wirecheck_with_options_that_exist(pipeline):
    found = calls(pipeline)

    assert found
    for name, *arguments in found:
        command = wirecheck.commands[name]
        command.make_context(name, arguments, parent=click.Context(wirecheck))


@pytest.mark.parametrize("pipeline", GATES, ids=lambda path: path.name)
def test_every_gate_does_the_same(pipeline):
    assert calls(pipeline) == [step.words[1:] for step in read_steps() if step.run]


def test_every_action_is_pinned_to_a_commit():
    """A tag can be moved to other code; the comment names it, for people and for Dependabot."""
    root = CI.parent
    files = [*CI.glob("*.yml"), root / "action.yml", *(root / ".github").rglob("*.y*ml")]
    used = [
        (path.name, line.strip())
        for path in files
        for line in path.read_text().splitlines()
        if re.match(r"\s*(?:- )?uses:", line) and "uses: ./" not in line
    ]

    assert len(used) >= 6
    pinned = re.compile(r"uses: [\w.-]+(?:/[\w.-]+)+@[0-9a-f]{40} # v\d+(\.\d+)*$")
    assert [each for each in used if not pinned.search(each[1])] == []


@pytest.mark.parametrize("pipeline", sorted(CI.glob("github*.yml")), ids=lambda path: path.name)
def test_a_workflow_has_no_more_permissions_than_reading(pipeline):
    workflow = yaml.safe_load(pipeline.read_text())

    assert workflow["permissions"] == {"contents": "read"}
    assert not any("permissions" in job for job in workflow["jobs"].values())


@pytest.mark.parametrize("pipeline", sorted(CI.glob("github*.yml")), ids=lambda path: path.name)
def test_github_would_take_it(pipeline, tmp_path):
    broken = tmp_path / "broken.yml"
    broken.write_text(pipeline.read_text().replace("runs-on:", "runs-at:"))

    assert refused_by("vendor.github-workflows", pipeline) == ""
    assert refused_by("vendor.github-workflows", broken)


@pytest.mark.parametrize("pipeline", sorted(CI.glob("gitlab*.yml")), ids=lambda path: path.name)
def test_gitlab_would_take_it(pipeline, tmp_path):
    broken = tmp_path / "broken.yml"
    text = pipeline.read_text().replace("exit_codes: [", "exit_codes: [x")
    broken.write_text(text.replace("- local:", "- locale:"))

    # The schema knows `!reference` and its like, so the file is read as GitLab reads it.
    assert refused_by("vendor.gitlab-ci", pipeline) == ""
    assert refused_by("vendor.gitlab-ci", broken)


def test_argo_knows_every_field():
    document = yaml.safe_load(ARGO.read_text())
    models = pytest.importorskip("hera.workflows.models")  # a second, which only this test needs
    read = models.WorkflowTemplate.model_validate(document)

    # A field that Argo does not know would be lost on the way.
    assert read.model_dump(by_alias=True, exclude_unset=True, mode="json") == document


def test_argos_steps_name_templates_that_exist():
    spec = yaml.safe_load(ARGO.read_text())["spec"]
    named = {template["name"] for template in spec["templates"]}
    gate = next(each for each in spec["templates"] if each["name"] == spec["entrypoint"])
    used = {step["template"] for group in gate["steps"] for step in group} | {spec["onExit"]}

    assert used | {spec["entrypoint"]} == named
    volumes = {each["name"] for each in spec["volumes"]}
    volumes |= {each["metadata"]["name"] for each in spec["volumeClaimTemplates"]}
    mounts = spec["templateDefaults"]["container"]["volumeMounts"]
    assert {each["name"] for each in mounts} == volumes


def blocks(text: str) -> dict[str, str]:
    """The blocks of one level by their heads; a brace within a string counts for none."""
    found, depth, head, start = {}, 0, "", 0
    bare = re.sub(r"'''.*?'''|\"[^\"]*\"|'[^']*'", lambda m: "_" * len(m[0]), text, flags=re.S)
    for place, letter in enumerate(bare):
        if letter == "{":
            if depth == 0:
                head, start = text[:place].rpartition("\n")[2].strip(), place + 1
            depth += 1
        elif letter == "}":
            depth -= 1
            assert depth >= 0, f"a brace too much after {head!r}"
            if depth == 0:
                found[head] = text[start:place]
    assert depth == 0, f"{head!r} is not closed"
    return found


def test_the_jenkinsfile_is_a_declarative_pipeline():
    text = re.sub(r"(?m)^\s*//.*$", "", JENKINS.read_text())
    whole = blocks(text)
    assert list(whole) == ["pipeline"]
    parts = blocks(whole["pipeline"])
    assert set(parts) == {"options", "environment", "stages", "post"}
    assert "agent any" in whole["pipeline"]
    stages = blocks(parts["stages"])
    assert list(stages) == [f"stage('{n}')" for n in ("Install", "Before", "Upgrade", "After")]
    for body in stages.values():
        assert set(blocks(body)) - {"post"} == {"steps"}
    for body in (parts["post"], blocks(stages["stage('After')"])["post"]):
        assert set(blocks(body)) == {"always"}


@pytest.mark.needs("groovy")
def test_groovy_can_read_the_jenkinsfile(tmp_path):
    java = Path(find("java") or "")
    # Debian's groovy looks for it where only its own choice of Java is.
    environment = {**os.environ, "JAVA_HOME": str(java.resolve().parents[1])}
    program = tmp_path / "parse.groovy"
    program.write_text("new GroovyShell().parse(new File(args[0])); println 'read'\n")

    def said(file: Path) -> str:
        words = ["groovy", str(program), str(file)]
        ended = subprocess.run(
            words, capture_output=True, text=True, timeout=300, check=False, env=environment
        )
        return ended.stdout.strip()

    broken = tmp_path / "Jenkinsfile"
    broken.write_text(JENKINS.read_text().replace("steps {", "steps", 1))
    assert said(JENKINS) == "read"
    assert said(broken) == ""


def test_every_pipeline_is_explained():
    readme = (CI / "README.md").read_text()

    assert len(PIPELINES) >= 6
    assert all(f"({path.name})" in readme for path in [*PIPELINES, *BLOCKS])
