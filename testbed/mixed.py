"""`python -m testbed.mixed`: one run that uses every access method.

An Ansible inventory that is a folder with INI and YAML files and variables of hosts and groups,
beside nodes of the inventory's own; by the proof of deploy/ also agent pods.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import yaml

from testbed.access import client_key
from testbed.commands import TestbedError
from testbed.layout import CONTROL_PLANE, VM, WORKERS, Layout
from testbed.proof import conclude
from testbed.rootfs import USER
from testbed.state import State, state
from testbed.steps import step
from wirecheck.results.jsonl import read_results
from wirecheck.snapshot.folder import Snapshot

STRANGER = "bastion"
"""A host of Ansible that is not a node."""
_LIMIT = 300.0

Variables = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run said about access to nodes."""

    status: int
    ways: Mapping[str, str]
    """Of the nodes that were seen."""
    notes: Sequence[str]
    said: str


def write_ansible(folder: Path, here: State, address: str, first: Variables) -> None:
    """An Ansible inventory in `folder`: one worker by its name, the other by its address.

    `first` are the variables of the first worker. In a folder, Ansible passes over *.ini.
    """
    one, _ = WORKERS
    (folder / "hosts").write_text(f"[k8s]\n{one}\n\n[others]\n{STRANGER} ansible_host=192.0.2.7\n")
    _write(folder / "more.yaml", {"k8s": {"hosts": {"second": None}}})
    _write(
        folder / "group_vars/k8s.yaml",
        {
            "ansible_ssh_common_args": f"-F {here.ssh_config}",
            "ansible_ssh_private_key_file": str(client_key(here)),
        },
    )
    _write(folder / f"host_vars/{one}.yaml", first)
    second = {"ansible_host": address, "ansible_user": USER, "ansible_become": True}
    _write(folder / "host_vars/second.yaml", second)


def _write(file: Path, content: object) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(yaml.safe_dump(content))


def look(
    here: State, folder: Path, nodes: Sequence[Mapping[str, Any]], *, docker: bool = True
) -> Outcome:
    """Run wirecheck by the Ansible inventory in `folder` and these nodes of its own."""
    inventory = folder.with_suffix(".yaml")
    ssh = {"access": "ssh://root@{address}", "ssh_config": str(here.ssh_config)}
    content = {
        "kubeconfig": str(here.kubeconfig),
        "ansible": str(folder),
        "nodes": [{"name": VM, **ssh}, *nodes],
    }
    inventory.write_text(yaml.safe_dump(content))
    reports = folder.with_suffix(".reports")
    environment = {**os.environ, "PATH": f"{here.bin}:{os.environ['PATH']}"}
    if not docker:
        environment["DOCKER_HOST"] = "unix:///nowhere/docker.sock"
    words = ["run", "--profile", "cron", "--inventory", str(inventory)]
    done = subprocess.run(
        [sys.executable, "-m", "wirecheck", *words, "--report-dir", str(reports)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_LIMIT,
        check=False,
    )
    said = done.stdout + done.stderr
    found = sorted(reports.glob("2*"))
    if not found:
        raise TestbedError(f"the run with {inventory} has left no report:\n{said[-1500:]}")
    visits = Snapshot.open(found[-1] / "snapshot").index.looks[0].visits
    ways = {name: visit.via for name, visit in visits.items() if visit.status.reached}
    notes = read_results(found[-1] / "results.jsonl").started.notes
    return Outcome(done.returncode, ways, notes, said)


def wrong(seen: Outcome, status: int, ways: Mapping[str, str], *told: str) -> list[str]:
    """Where a run has not the status, the ways and the words that it should have."""
    problems = [f"status {seen.status}, not {status}:\n{seen.said[-1500:]}"] * (
        seen.status != status
    )
    problems += [
        f"{node} was seen by {seen.ways.get(node, 'no way')}, not by {ways.get(node, 'any')}"
        for node in sorted({*ways, *seen.ways} - {VM})
        if seen.ways.get(node) != ways.get(node)
    ]
    everything = "\n".join([*seen.notes, seen.said])
    return problems + [f"not said: {each}" for each in told if each not in everything]


def prove(here: State, layout: Layout) -> list[str]:
    """What is wrong with two runs: by Docker and Ansible, and by Ansible alone."""
    one, two = layout.workers
    by_ansible = {
        one.name: f"ssh://root@{one.address}",
        two.name: f"ssh://{USER}@{two.address}",
    }
    first = {"ansible_host": one.address, "ansible_user": "root"}
    with tempfile.TemporaryDirectory(prefix="wirecheck-mixed-") as scratch:
        folder = Path(scratch) / "ansible"
        folder.mkdir()
        write_ansible(folder, here, two.address, first)
        with step("by Docker and Ansible"):
            docker = [{"name": CONTROL_PLANE, "access": "docker://{name}"}]
            seen = look(here, folder, docker)
        ways = {CONTROL_PLANE: f"docker://{CONTROL_PLANE}", **by_ansible}
        problems = wrong(seen, 0, ways, f"1 host of the Ansible inventory is not a node of {_THIS}")
        with step("by Ansible, which lacks a node"):
            seen = look(here, folder, [], docker=False)
        return problems + wrong(seen, 2, by_ansible, "No access to 1 node", CONTROL_PLANE)


def prove_with_agents(here: State, layout: Layout) -> list[str]:
    """What is wrong with a run by ssh, Ansible (and Docker, as it says) and an agent pod."""
    one, two = layout.workers
    nodes = [
        {
            "name": CONTROL_PLANE,
            "access": "ssh://root@{address}",
            "ssh_config": str(here.ssh_config),
        },
        {"name": two.name, "access": "kubectl://"},
    ]
    with tempfile.TemporaryDirectory(prefix="wirecheck-mixed-") as scratch:
        folder = Path(scratch) / "ansible"
        folder.mkdir()
        first = {"ansible_connection": "community.docker.docker"}
        write_ansible(folder, here, two.address, first)
        seen = look(here, folder, nodes)
    ways = {
        CONTROL_PLANE: f"ssh://root@{layout.control_plane.address}",
        one.name: f"docker://{one.name}",
        two.name: f"kubectl://{two.name}",
    }
    return wrong(seen, 0, ways, f"1 host of the Ansible inventory is not a node of {_THIS}")


_THIS = f"this cluster: {STRANGER}"


@click.command()
def main() -> None:
    """Check the test cluster with several access methods at once; both runs must succeed."""
    here = state()
    conclude(
        lambda: prove(here, Layout(here.running().subnet)),
        holds="all access methods work in one run",
        fails="all access methods do NOT work in one run",
    )


if __name__ == "__main__":
    main()
