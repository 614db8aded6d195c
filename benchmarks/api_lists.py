"""The API of a large cluster: wirecheck's lists against the typed ones of the `kubernetes` client.

A real kube-apiserver and etcd hold the objects. They are put into etcd directly, as JSON,
which API servers read as well as their own form: creating 50,000 objects takes much longer
than listing them, and what is listed is the same.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import click

from benchmarks import recorded_objects, service_objects
from testbed.referee.control_plane import control_plane
from testbed.referee.slot import Slot, free_slot
from testbed.state import state

ENDPOINTS = 3
LARGEST_REQUEST = 700_000
"""Bytes of JSON in one transaction: etcd refuses more than 1.5 MiB."""
MOST_OPERATIONS = 128
"""Of one transaction, by etcd's default."""
LIMIT = 3_600


@click.command()
@click.option("--nodes", default=1_000, show_default=True)
@click.option("--services", default=10_000, show_default=True, help="Of 3 pods each.")
@click.option("--typed/--no-typed", default=True, help="The client's side takes minutes.")
def main(nodes: int, services: int, typed: bool) -> None:
    """Print seconds and memory of both sides."""
    here = state()
    with free_slot(here) as slot, control_plane(here, slot) as kubeconfig:
        began = time.monotonic()
        number, size = fill(slot.address, objects(nodes, services))
        seconds = time.monotonic() - began
        click.echo(f"{number:,} objects, {size / 1e6:.0f} MB, in etcd after {seconds:.0f} s")
        # The first list after the filling still waits for the server's cache.
        listed(kubeconfig, "wirecheck")
        before = seconds_of_servers(slot)
        own = listed(kubeconfig, "wirecheck")
        click.echo(described("wirecheck: list and project", own))
        click.echo(f"the servers: {seconds_of_servers(slot) - before:.1f} s of CPU in that time")
        if typed:
            other = listed(kubeconfig, "typed")
            click.echo(described("kubernetes client: typed lists", other))
            click.echo(
                f"the client takes {other['cpu'] / own['cpu']:.1f} times the seconds of CPU, "
                f"{other['peak'] / own['peak']:.1f} times the memory"
            )


def objects(nodes: int, services: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every object of the cluster, and its key in etcd."""
    names = [f"team-{number}" for number in range(service_objects.NAMESPACES)]
    spaces = (
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "uid": name}}
        for name in names
    )
    lists = {
        "namespaces": spaces,
        "minions": recorded_objects.nodes(nodes),
        "pods": recorded_objects.pods(services, ENDPOINTS, nodes),
        "services/specs": recorded_objects.services(services),
        "endpointslices": recorded_objects.slices(services, ENDPOINTS, nodes),
    }
    for place, items in lists.items():
        for each in items:
            metadata = each["metadata"]
            of = f"{metadata['namespace']}/" if "namespace" in metadata else ""
            yield f"/registry/{place}/{of}{metadata['name']}", each


def fill(address: str, wanted: Iterable[tuple[str, dict[str, Any]]]) -> tuple[int, int]:
    """Put the objects into etcd; their number and size."""
    connection = http.client.HTTPConnection(address, 2379, timeout=60)
    number = size = waiting = 0
    operations: list[dict[str, Any]] = []
    for key, value in chain(wanted, [("", {})]):
        text = json.dumps(value).encode()
        is_last = not key
        if operations and (
            is_last or waiting + len(text) > LARGEST_REQUEST or len(operations) == MOST_OPERATIONS
        ):
            _commit(connection, operations)
            operations, waiting = [], 0
        if is_last:
            break
        put = {"key": _encoded(key.encode()), "value": _encoded(text)}
        operations.append({"requestPut": put})
        number, size, waiting = number + 1, size + len(text), waiting + len(text)
    return number, size


def _commit(connection: http.client.HTTPConnection, operations: list[dict[str, Any]]) -> None:
    connection.request("POST", "/v3/kv/txn", json.dumps({"success": operations}))
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != 200 or not json.loads(said).get("succeeded"):
        raise click.ClickException(f"etcd refused: {said[:300].decode()}")


def _encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def listed(kubeconfig: Path, how: str) -> dict[str, Any]:
    """List everything in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.listing", str(kubeconfig), how]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=LIMIT)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def seconds_of_servers(slot: Slot) -> float:
    """Seconds of CPU that etcd and kube-apiserver have used so far."""
    ticks = 0
    for name in ("etcd", "kube-apiserver"):
        pid = slot.pid_file(name).read_text().strip()
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def described(name: str, cost: dict[str, Any]) -> str:
    """One line."""
    nodes, pods, services, slices = cost["counts"]
    return (
        f"{name}: {cost['seconds']:.1f} s ({cost['cpu']:.1f} s of CPU), "
        f"peak {cost['peak'] / 1e6:.0f} MB; {nodes:,} nodes, {pods:,} pods, "
        f"{services:,} Services, {slices:,} slices"
    )


if __name__ == "__main__":
    main()
