"""Snapshots of clusters of any size, grown from a recorded one.

Nodes are like the recorded worker (`synthetic_nodes`), with the Service rules that a real
kube-proxy wrote for such a cluster (`service_rules`). Names, addresses, uids and hardware
addresses are each node's own.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import msgspec
from msgspec import structs

from benchmarks import conversations, spliced, variations
from benchmarks.recorded_worker import Recorded
from benchmarks.sent import as_sent
from benchmarks.service_objects import node_address, node_name, pod_address
from benchmarks.synthetic_nodes import Asked, document_of, peer_of
from benchmarks.synthetic_objects import api_objects
from wirecheck import __version__
from wirecheck.snapshot.folder import SnapshotWriter
from wirecheck.snapshot.index import FORMAT, RoundRecord, SnapshotIndex, VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import NodeDocument

DUMPED_NODES = 1_000
"""The endpoints of kept rules are spread over so many nodes."""
ORDERS = 10
"""In which rules are written; nodes beyond have the same ones again."""


def write_snapshot(
    folder: Path, of: Recorded, nodes: int, services: int, *, in_blocks: bool = True
) -> None:
    """A snapshot of one round over that many nodes, all of them healthy."""
    started, finished = of.rules.started, of.rules.finished
    queries = conversations.queries(services)
    writer = SnapshotWriter(folder, SnapshotIndex(FORMAT, __version__, started, queries=queries))
    writer.write_api(1, api_objects(of, nodes, services))
    files = folder / "look-1" / "nodes"
    files.mkdir(parents=True, exist_ok=True)
    respread = of.system.added_to(_respread(of.rules, nodes))
    orders = []
    for number in range(min(ORDERS, nodes)):
        rules = variations.reordered(respread, random.Random(number))
        raw = as_sent(rules, writer) if in_blocks else msgspec.json.encode(rules)
        # Stores the blocks; the rest is written anew below.
        writer.write_document(1, node_name(number), raw)
        orders.append(_shared_commands(raw))
    peers = [peer_of(number, of.tunnel) for number in range(nodes)]
    places = [(node_address(number), pod_address(number, 1)) for number in range(nodes)]
    for number in range(nodes):
        made = document_of(of, number, peers, Asked(services, places))
        before = msgspec.json.encode(made).removesuffix(b"}")
        packed = spliced.gzipped(before, orders[number % ORDERS], b"}")
        (files / f"{node_name(number)}.json.gz").write_bytes(packed)
    visits = {
        node_name(number): VisitRecord(VisitStatus.SEEN, proxy_mode="iptables")
        for number in range(nodes)
    }
    writer.finish_round(RoundRecord(started, finished, visits))


def _shared_commands(raw: bytes) -> spliced.Shared:
    """The part of a document that nodes with the same rules share."""
    commands = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])["commands"]
    return spliced.Shared.of(b',"commands":' + bytes(commands))


_ENDPOINT = re.compile(r"\b10\.(1[2-9]\d|2\d\d)\.(\d+)\.(\d+)(?=[:/]\d)")


def _respread(rules: NodeDocument, nodes: int) -> NodeDocument:
    """The same rules with the endpoints spread over another number of nodes."""

    def moved(found: re.Match[str]) -> str:
        block, low, last = map(int, found.groups())
        if last < 2:
            return found[0]
        number = ((block - 128) * 256 + low) + (last - 2) * DUMPED_NODES
        return pod_address(number % nodes, number // nodes)

    commands = {
        name: structs.replace(each, output=_ENDPOINT.sub(moved, each.output))
        if each.output
        else each
        for name, each in rules.commands.items()
    }
    return structs.replace(rules, commands=commands)
