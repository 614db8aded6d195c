"""DNS from every pod: wirecheck's whole round over all nodes against `nsenter … dig` in a loop.

The loop is what an engineer types: one process a pod, from the machine that holds the nodes'
containers. It only asks DNS over UDP; wirecheck asks over UDP and TCP and reads everything else.
So its lookups are also measured over UDP alone, beside the least that they can cost
(`bare_selector`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
import dns.message
from msgspec import structs

from benchmarks import bare_selector
from testbed.cluster import kubectl
from testbed.images import image
from testbed.state import state
from wirecheck.collect.plan.visit_plan import Plan, RoundOptions, plan_for
from wirecheck.collect.transport.containers import container_access
from wirecheck.collect.visit import DECODER, visit_all
from wirecheck.results.jsonl import read_results
from wirecheck.snapshot.folder import Snapshot

NAMESPACE = "benchmark"
SERVER = "10.96.0.10"
QUERY = dns.message.make_query("kubernetes.default.svc.cluster.local", "A", id=1)
PAUSE = image("pause", "3.10.1")


@dataclass(frozen=True)
class Measured:
    """Seconds of each run."""

    name: str
    seconds: tuple[float, ...]

    def __str__(self) -> str:
        """Median and spread."""
        low, high = min(self.seconds), max(self.seconds)
        return f"{self.name:58} {median(self.seconds):7.3f} s  ({low:.3f} to {high:.3f})"


@click.command()
@click.option("--pods", default=150, show_default=True, help="Pods of the cluster to ask from.")
@click.option("--runs", default=5, show_default=True)
def main(pods: int, runs: int) -> None:
    """Print both sides, and how much faster one is."""
    fill_up(pods)
    try:
        compare(runs)
    finally:
        kubectl(
            *("delete", "namespace", NAMESPACE, "--wait=true", "--ignore-not-found"), timeout=300
        )


def compare(runs: int) -> None:
    """Run both sides in turn, so that a noisy machine is noisy for both."""
    pids = pod_processes()
    loops, bare, alone, wholes, probes, commands = [], [], [], [], [], set()
    for _ in range(runs):
        loops.append(loop(pids))
        bare.append(bare_selector.ask(pids, SERVER, QUERY.to_wire()))
        folder, seconds = whole_run()
        wholes.append(seconds)
        snapshot = Snapshot.open(folder / "snapshot")
        visits = snapshot.index.looks[0].visits
        commands |= {visit.commands for visit in visits.values()}
        probes.append(max(slowest_probes(snapshot, node) for node in visits))
        alone.append(over_udp(snapshot))
    sides = (
        Measured(f"nsenter … dig in a loop, UDP, {len(pids)} pods", tuple(loops)),
        Measured("bare selector loop in one process, UDP", tuple(bare)),
        Measured("wirecheck, UDP alone: DNS from all pods, slowest node", tuple(alone)),
        Measured("wirecheck: DNS from all pods, UDP and TCP, slowest node", tuple(probes)),
        Measured("wirecheck run: everything, from start to report", tuple(wholes)),
    )
    for side in sides:
        click.echo(side)
    for side in sides[1:]:
        ratios = [a / b for a, b in zip(loops, side.seconds, strict=True)]
        click.echo(f"loop / {side.name.partition(':')[0]}: {median(ratios):.1f}")
    ratios = [a / b for a, b in zip(alone, bare, strict=True)]
    click.echo(f"wirecheck, UDP alone / bare selector loop: {median(ratios):.1f}")
    click.echo(f"commands per node and look: {', '.join(map(str, sorted(commands)))}")


def fill_up(pods: int) -> None:
    """Add pods that do nothing until the cluster has `pods` of them with a netns of their own."""
    missing = pods - len(pod_processes())
    if missing <= 0:
        return
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "idle", "namespace": NAMESPACE},
        "spec": {
            "replicas": missing,
            "selector": {"matchLabels": {"app": "idle"}},
            "template": {
                "metadata": {"labels": {"app": "idle"}},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [{"name": "idle", "image": PAUSE, "imagePullPolicy": "Never"}],
                },
            },
        },
    }
    kubectl("create", "namespace", NAMESPACE)
    kubectl("apply", "-f", "-", stdin=json.dumps(deployment))
    kubectl("-n", NAMESPACE, "rollout", "status", "deployment/idle", "--timeout=600s", timeout=660)


def pod_processes() -> list[str]:
    """One process of each pod netns, found among this machine's own: nodes are containers."""
    own = Path("/proc/self/ns/net").stat().st_ino
    node_namespaces = {Path(f"/proc/{pid}/ns/net").stat().st_ino for pid in node_processes()}
    found: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if "kubepods" in (process / "cgroup").read_text():
                inode = (process / "ns/net").stat().st_ino
                if inode != own and inode not in node_namespaces:
                    found.setdefault(inode, process.name)
        except OSError:
            continue
    return list(found.values())


def node_processes() -> list[str]:
    """Process 1 of each node's container."""
    names = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    listed = [node["metadata"]["name"] for node in names if node["metadata"]["name"] != "wc-vm"]
    command = ["docker", "inspect", "--format", "{{.State.Pid}}", *listed]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def loop(pids: list[str]) -> float:
    """Ask from each pod in turn; seconds. Raises where an answer is not the expected one."""
    began = time.monotonic()
    for pid in pids:
        command = ["nsenter", "-t", pid, "-n", "dig", "+short", "+tries=1", "+time=2"]
        question = ["kubernetes.default.svc.cluster.local", f"@{SERVER}"]
        said = subprocess.run([*command, *question], capture_output=True, text=True, check=True)
        assert said.stdout.strip() == "10.96.0.1", said.stdout
    return time.monotonic() - began


def whole_run() -> tuple[Path, float]:
    """`wirecheck run` as a user starts it; its folder and seconds."""
    reports = state().root / "benchmarks"
    # The rate is raised so that speed is measured, and not the limit that protects CoreDNS.
    command = [sys.executable, "-m", "wirecheck", "run", "--dns-rate", "100000"]
    where = ["--inventory", str(state().inventory), "--report-dir", str(reports)]
    began = time.monotonic()
    subprocess.run([*command, *where], capture_output=True, check=True)
    seconds = time.monotonic() - began
    folder = max(reports.glob("*/results.jsonl"), key=lambda path: path.stat().st_mtime).parent
    assert read_results(folder / "results.jsonl").ended.status == 0
    return folder, seconds


def over_udp(snapshot: Snapshot) -> float:
    """Visits that ask DNS from every pod over UDP, and nothing else: the slowest node's part."""
    api = snapshot.api()
    options = RoundOptions(dns_rate=100_000.0, window=0.0, contacts=False)

    def plan(node: str) -> Plan:
        whole = plan_for(api, node, options)
        asked = [each for each in whole.dns.pods if each.transport == "udp"]
        return structs.replace(whole, dns=structs.replace(whole.dns, pods=asked, node=[]))

    nodes = {each.metadata.name: each for each in api.nodes}
    visits = visit_all(container_access(api.nodes), nodes, plan, options, lambda *_: None)
    documents = [DECODER.decode(raw) for _, _, raw in visits if raw]
    assert len(documents) == len(nodes)
    assert all(len(probe.tries) == 1 for each in documents for probe in each.probes)
    return max(each.seconds["DNS"] for each in documents)


def slowest_probes(snapshot: Snapshot, node: str) -> float:
    """How long the node's DNS loop took, by the program's own clock."""
    return snapshot.document(node).seconds["DNS"]


if __name__ == "__main__":
    main()
