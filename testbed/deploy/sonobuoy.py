"""`python -m testbed.deploy.sonobuoy`: the plugin of deploy/, run by a real Sonobuoy.

Sonobuoy's own program is built from its Go module, and its image made of that program alone.
"""

from __future__ import annotations

import json
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import yaml

from testbed.commands import attempt, run
from testbed.components import Component, build, component_key
from testbed.deploy import image as images
from testbed.layout import LABEL, Layout
from testbed.proof import conclude
from testbed.state import State, key_of, state
from testbed.steps import step
from wirecheck.report.sonobuoy import FILE

VERSION = "v0.57.3"
SONOBUOY = Component("sonobuoy", "sonobuoy", "github.com/vmware-tanzu/sonobuoy")
PLUGIN = images.PROJECT / "deploy/sonobuoy/plugin.yaml"
NAME = "wirecheck"
# Else it puts an IPv4 address into brackets, which its own parts refuse if built by Go 1.26.
CONFIGURATION = {"Server": {"advertiseaddress": "sonobuoy-aggregator:8080"}}
LIMIT = 420.0

Tree = Mapping[str, Any]


@click.command()
def main() -> None:
    """Run the plugin, and read its results as Sonobuoy's users do."""
    conclude(
        lambda: _prove(state()),
        holds="the plugin works in Sonobuoy",
        fails="the plugin does NOT work in Sonobuoy",
    )


def _prove(here: State) -> list[str]:
    record = here.running()
    names = [node.name for node in Layout(record.subnet).containers]
    return prove(names, here, others=int(record.vm))


def prove(nodes: Sequence[str], here: State, others: int = 0) -> list[str]:
    """What is wrong with a run of the plugin, and with what Sonobuoy reports.

    `others`: nodes besides these, which have no image.
    """
    with step("Sonobuoy and its image"):
        program = build(SONOBUOY, here)
        own = _image(program, here)
        images.bring(own, nodes, here)
    with step("image"):
        ours = images.build(here)
        images.bring(ours, nodes, here)
    with tempfile.TemporaryDirectory(prefix="wirecheck-sonobuoy-") as scratch:
        folder = Path(scratch)
        plugin = folder / "plugin.yaml"
        content = with_image(yaml.safe_load(PLUGIN.read_text()), ours)
        plugin.write_text(yaml.safe_dump(content))
        with _cleaned_up(program, here):
            expected = "unknown" if others else "passed"
            return _results(program, here, plugin, own, expected)


def with_image(plugin: Tree, image: str) -> Tree:
    """The plugin with its image, in both places that its head names."""
    inventory = yaml.safe_load(plugin["config-map"]["inventory.yaml"])
    inventory["agent"]["image"] = image
    return {
        **plugin,
        "config-map": {"inventory.yaml": yaml.safe_dump(inventory)},
        "spec": {**plugin["spec"], "image": image},
    }


def _image(program: Path, here: State) -> str:
    name = f"testbed.test/sonobuoy:{VERSION}-{key_of([component_key(SONOBUOY)])[:12]}"
    if attempt(["docker", "image", "inspect", name]).status == 0:
        return name
    draft = here.images / "sonobuoy.tar"
    with tarfile.open(draft, "w") as out:
        out.add(program, "sonobuoy")
    run(["docker", "import", "--change", f"LABEL {LABEL}", str(draft), name], timeout=300)
    draft.unlink()
    return name


@contextmanager
def _cleaned_up(program: Path, here: State) -> Iterator[None]:
    """Nothing of Sonobuoy is in the cluster, before and afterwards."""
    words = ["delete", "--wait=3", "--level=error"]
    _sonobuoy(program, here, *words)
    try:
        yield
    finally:
        _sonobuoy(program, here, *words)


def _sonobuoy(program: Path, here: State, *words: str) -> str:
    return run([str(program), *words, "--kubeconfig", str(here.kubeconfig)], timeout=LIMIT)


def _results(program: Path, here: State, plugin: Path, image: str, expected: str) -> list[str]:
    folder = plugin.parent
    configuration = folder / "sonobuoy.json"
    configuration.write_text(json.dumps(CONFIGURATION))
    with step("sonobuoy run --wait"):
        _sonobuoy(
            # The configuration has to be named first.
            *(program, here, "run", "--config", str(configuration)),
            *("--plugin", str(plugin), "--sonobuoy-image", image),
            *("--image-pull-policy", "IfNotPresent", "--wait=6", "--wait-output=silent"),
        )
    told = json.loads(_sonobuoy(program, here, "status", "--json"))
    with step("sonobuoy retrieve"):
        found = _sonobuoy(program, here, "retrieve", str(folder)).strip().splitlines()
    archive = Path(found[-1])
    words = [str(program), "results", str(archive), "--plugin", NAME]
    tree = yaml.safe_load(run([*words, "--mode=dump"]))
    report = run(words)
    click.echo(report.strip())
    with tarfile.open(archive) as tar:
        kept = [member.name for member in tar.getmembers()]
    return wrong(told, tree, report, kept, expected)


def wrong(
    told: Tree, tree: Tree, report: str, kept: Sequence[str], expected: str = "passed"
) -> list[str]:
    """What is wrong with what Sonobuoy reports of a run, as sentences.

    `expected`: its status; unknown if the run has no access to a node.
    """
    (plugin,) = (each for each in told["plugins"] if each["plugin"] == NAME)
    problems = [
        f"sonobuoy status: {what} is {plugin.get(what)!r}, not {wanted!r}"
        for what, wanted in {"status": "complete", "result-status": expected}.items()
        if plugin.get(what) != wanted
    ]
    progress = plugin.get("progress") or {}
    if not progress.get("total") or progress.get("completed") != progress.get("total"):
        problems.append(f"sonobuoy status: the progress is {progress}")
    if (tree.get("name"), tree.get("status")) != (NAME, expected):
        problems.append(f"sonobuoy results: {tree.get('name')} is {tree.get('status')}")
    names = set(_names(tree))
    problems += [f"the group {each} has no results" for each in sorted({"dns", "pods"} - names)]
    if f"Plugin: {NAME}" not in report or f"Status: {expected}" not in report:
        problems.append(f"sonobuoy results says: {report}")
    if not any(f"plugins/{NAME}/" in each and each.endswith(FILE) for each in kept):
        problems.append(f"the archive lacks the plugin's {FILE}")
    return problems


def _names(tree: Tree) -> Iterator[str]:
    """Of everything in it: Sonobuoy puts levels of its own above the plugin's."""
    yield str(tree.get("name"))
    for each in tree.get("items") or ():
        yield from _names(each)


if __name__ == "__main__":
    main()
