"""Reading and comparing the rules of 10,000 Services, as a real kube-proxy or Cilium wrote them.

Programs a netns of this machine in iptables and in nftables mode, reads each once and keeps
what it saw; for IPVS mode uses what was recorded (see `scaled.py`). Then evaluates
one node and many: these have the same rules in another order, as kube-proxy writes them in an
order of chance, and every tenth has ten Services with another endpoint.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import zlib
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import click
import msgspec

from benchmarks import cilium_maps, programmed_node, scaled, service_objects, variations
from benchmarks.visit_costs import VISIT, VisitCosts, side_by_side
from testbed.state import state
from wirecheck import __version__
from wirecheck.collect.document_frame import unframed
from wirecheck.collect.node_program import command_line
from wirecheck.collect.plan.dns import DnsPlan
from wirecheck.collect.plan.visit_plan import Plan
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import SnapshotWriter
from wirecheck.snapshot.index import FORMAT, RoundRecord, SnapshotIndex, VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import NodeDocument
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.service import ServiceObject

MODES = ("iptables", "nftables", "ipvs", "cilium")
ENDPOINTS = 3
OF_NODES = 1_000
"""Nodes of the cluster, whether they are evaluated or not: its pods are spread over them."""
ORDERS = 10
"""Different documents; nodes beyond get the same ones again, which wirecheck cannot know."""
ALTERED = 10
"""Services that are altered on every tenth node."""
LIMIT = 540.0
NO_DNS = DnsPlan(queries={}, pods=[], node=[], addresses=[], rate=1.0, tries=1, timeout=1.0)
ALONE = ("unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")


@click.command()
@click.option("--mode", "modes", multiple=True, type=click.Choice(MODES), default=MODES)
@click.option("--services", default=10_000, show_default=True)
@click.option("--nodes", default="1,100,1000", show_default=True, help="How many are evaluated.")
@click.option("--anew", is_flag=True, help="Program the rules again, even if they are kept.")
@click.option("--plain", is_flag=True, help="Rules as the tools print them, not in blocks.")
def main(modes: tuple[str, ...], services: int, nodes: str, anew: bool, plain: bool) -> None:
    """Print what reading and comparing costs, beside only unpacking and splitting.

    Then all modes side by side.
    """
    figures = {}
    for mode in modes:
        if mode == "ipvs":
            document = scaled.scaled(services, ENDPOINTS, OF_NODES)
        else:
            document = seen(mode, services, anew)
        click.echo(f"{mode}, {services:,} Services of {ENDPOINTS} endpoints")
        for line in costs_of_dumps(document):
            click.echo(f"  {line}")
        with tempfile.TemporaryDirectory(dir=kept()) as folder:
            costs = write_snapshot(Path(folder), document, services, in_blocks=not plain)
            figures[mode] = {what: of(costs) for what, of in VISIT.items()} if costs else {}
            click.echo(f"  {costs}" if costs else "  visit: not in blocks")
            click.echo(f"  floor: {measured(Path(folder), 1, 'floor')}")
            for count in map(int, nodes.split(",")):
                found = measured(Path(folder), count)
                figures[mode] |= found.figures
                click.echo(f"  {found}")
    for line in side_by_side(figures):
        click.echo(line)


def kept() -> Path:
    """Where dumps are kept."""
    folder = state().root / "benchmarks"
    folder.mkdir(exist_ok=True)
    return folder


def seen(mode: str, services: int, anew: bool) -> NodeDocument:
    """What the node program saw of a node with that many Services."""
    file = kept() / f"{mode}-{services}.json.gz"
    if anew or not file.exists():
        program = "Cilium's load balancer" if mode == "cilium" else "kube-proxy"
        click.echo(f"{mode}: {program} programs {services:,} Services, which takes minutes")
        looked = of_cilium if mode == "cilium" else partial(looked_at, mode)
        file.write_bytes(gzip.compress(looked(services), 6))
    return msgspec.json.decode(gzip.decompress(file.read_bytes()), type=NodeDocument)


def of_cilium(services: int) -> bytes:
    """The document of a node whose Services Cilium forwards."""
    return msgspec.json.encode(cilium_maps.programmed(services, ENDPOINTS, OF_NODES))


def looked_at(mode: str, services: int) -> bytes:
    """Let a kube-proxy program a netns of its own, and read it."""
    plan = Plan(program=__version__, deadline=LIMIT, window=0.0, dns=NO_DNS)
    task = {
        "addresses": [f"{service_objects.node_address(0)}/24"],
        "objects": objects(services),
        "config": {"mode": mode, "clusterCIDR": service_objects.CLUSTER_RANGE}
        | {"hostnameOverride": service_objects.node_name(0)},
        "kube_proxy": str(state().root / "bin/kube-proxy"),
        "look": command_line(plan.encoded()),
        "limit": 1_800.0,
    }
    command = [*ALONE, "python3", "-c", Path(programmed_node.__file__).read_text()]
    done = subprocess.run(
        command, input=json.dumps(task).encode(), stdout=subprocess.PIPE, check=True, timeout=3_000
    )
    return unframed(done.stdout)


def objects(services: int, nodes: int = 1) -> dict[str, list[dict[str, Any]]]:
    """What the API serves, by resource."""
    return {
        "nodes": service_objects.nodes(nodes),
        "services": service_objects.services(services),
        "endpointslices": service_objects.endpoint_slices(services, ENDPOINTS, OF_NODES),
        "servicecidrs": [],
    }


def costs_of_dumps(document: NodeDocument) -> list[str]:
    """How long the tools took on the idle node."""
    lines = [
        f"{' '.join(each.argv)}: {each.seconds:.2f} s, {len(each.output) / 1e6:.1f} MB"
        for each in document.commands.values()
        if each.output and len(each.output) > 100_000
    ]
    if text := document.files.get("/proc/net/ip_vs", ""):
        seconds = document.seconds["Sysctls"]
        lines.append(f"/proc/net/ip_vs: at most {seconds:.2f} s, {len(text) / 1e6:.1f} MB")
    if document.ebpf and document.ebpf.maps:
        raw = msgspec.json.encode(document.ebpf)
        entries = sum(each.count for each in document.ebpf.maps)
        sent = len(zlib.compress(raw, 6)) / 1e6
        lines.append(f"{entries:,} entries: {len(raw) / 1e6:.1f} MB, {sent:.2f} MB packed")
    return lines


def write_snapshot(
    folder: Path, document: NodeDocument, services: int, *, in_blocks: bool = True
) -> VisitCosts | None:
    """A snapshot of OF_NODES nodes; those with the same document share its file.

    Returns what their visits cost if they are sent in blocks.
    """
    costs = VisitCosts.of(document)
    now = document.finished
    writer = SnapshotWriter(folder, SnapshotIndex(FORMAT, __version__, now))
    listed = objects(services, OF_NODES)
    api = ApiObjects(
        nodes=msgspec.convert(listed["nodes"], list[NodeObject]),
        services=msgspec.convert(listed["services"], list[ServiceObject]),
        endpoint_slices=msgspec.convert(listed["endpointslices"], list[EndpointSliceObject]),
        config_maps=[cilium_maps.SETTINGS] if document.ebpf else [],
    )
    writer.write_api(1, api)
    files = folder / "look-1" / "nodes"
    files.mkdir(parents=True, exist_ok=True)
    for number in range(OF_NODES):
        name, same = (service_objects.node_name(each) for each in (number, number % ORDERS))
        if name != same:
            os.link(files / f"{same}.json.gz", files / f"{name}.json.gz")
            continue
        chance = random.Random(number)
        varied = variations.reordered(document, chance)
        if is_altered(number):
            varied = variations.redirected(varied, ALTERED, chance)
        if in_blocks:
            costs.send(varied, writer, name)
        else:
            writer.write_document(1, name, msgspec.json.encode(varied))
    visits = {node.metadata.name: VisitRecord(VisitStatus.SEEN) for node in api.nodes}
    writer.finish_round(RoundRecord(document.started, now, visits))
    return costs if in_blocks else None


def is_altered(number: int) -> bool:
    """Whether some Services of the node have other endpoints."""
    return number % 10 == 9


@dataclass(frozen=True)
class Measured:
    """One process: the steps that it took, and the most memory that it had."""

    steps: list[tuple[float, str]]
    peak: int
    whole: float

    @property
    def figures(self) -> dict[str, float]:
        """What is compared between modes: seconds of CPU."""
        if len(self.steps) < 3:
            return {}
        _, first, *others = (seconds for seconds, _ in self.steps)
        equal = [each for at, each in enumerate(others, 1) if not is_altered(at)]
        altered = [each for at, each in enumerate(others, 1) if is_altered(at)]
        found = {"first node, s of CPU": first, "a further node, s of CPU": median(equal)}
        return found | ({"an altered node, s of CPU": median(altered)} if altered else {})

    def __str__(self) -> str:
        """One line, two where there are several nodes."""
        if len(self.steps) < 2:
            ((seconds, what),) = self.steps
            return f"{seconds:.2f} s, {self.peak / 1e6:.0f} MB ({what})"
        cluster, first, *others = self.steps
        line = f"1 node: API {cluster[0]:.2f} s, node {first[0]:.2f} s ({first[1]})"
        if others:
            equal = [s for at, (s, _) in enumerate(others, 1) if not is_altered(at)]
            altered = [(s, what) for at, (s, what) in enumerate(others, 1) if is_altered(at)]
            line = (
                f"{len(self.steps) - 1:,} nodes: {self.whole:.1f} s in all; "
                f"first {first[0]:.2f} s, then median {median(equal):.3f} s for an equal one, "
                f"{median(s for s, _ in altered):.3f} s for an altered one ({altered[-1][1]})"
            )
        return f"{line}; peak {self.peak / 1e6:.0f} MB"


def measured(folder: Path, nodes: int, what: str = "evaluate") -> Measured:
    """Evaluate that many nodes in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.evaluating", str(folder), str(nodes), what]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=True, timeout=3_600)
    said = json.loads(done.stdout)
    return Measured(said["steps"], said["peak"], time.perf_counter() - began)


if __name__ == "__main__":
    main()
