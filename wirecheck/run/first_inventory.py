"""`wirecheck init`: an inventory of a cluster, with access methods that were tried.

Nothing is guessed: an entry is written only for an access method by which a node was reached, and a
host counts only if it proves to be the node. Access methods that need a choice (another user, a
jump host, agents) are left to the user, with the reason why the usual ones failed.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from wirecheck.collect.plan.unvisitable import why_unvisitable
from wirecheck.inventory.file import Inventory, NodeEntry, missing_lines
from wirecheck.run.live import LiveCluster
from wirecheck.run.progress import RunProgress, Silence
from wirecheck.run.request import Request
from wirecheck.run.session import Session
from wirecheck.snapshot.index import VisitRecord
from wirecheck.text import harmless, plural

THIS_MACHINE = NodeEntry(name="*", access="local://")
CANDIDATES = (
    NodeEntry(name="*", access="kubectl://"),
    NodeEntry(name="*", access="ssh://root@{address}"),
    NodeEntry(name="*", access="ssh://{address}", sudo=True),
)
"""What is tried, in this order: agents that run already, then ssh with the user's configuration."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One access method, and why it did not reach a node."""

    entry: NodeEntry
    reached: Sequence[str]
    failed: Mapping[str, str]


@dataclass(slots=True)
class FirstInventory:
    """The entries for the nodes, and the nodes without one."""

    context: str
    version: str
    kubeconfig: str = ""
    entries: list[NodeEntry] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Nodes that no access method has reached."""
    tried: list[Tried] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The file."""
        return "\n".join(
            [
                f"# Inventory of {_comment(self.context)}, Kubernetes {_comment(self.version)}.",
                "# Every option: docs/inventory-reference.md",
                "",
                *([f"kubeconfig: {json.dumps(self.kubeconfig)}"] if self.kubeconfig else []),
                f"context: {json.dumps(self.context)}",
                "",
                *self._nodes(),
                "",
                "# DNS queries per second over the whole cluster.",
                "# dns: {rate: 200}",
                "",
                "# So many nodes may be unreachable before the exit status is 2.",
                "# thresholds: {unreachable: 0}",
                "",
            ]
        )

    def _nodes(self) -> list[str]:
        if self.left:
            reasons = [f"# {line}" for line in self.reasons]
            lines = missing_lines(self.left).splitlines()[1:]
            missing = [f"  # No access yet to {plural(len(self.left), 'node')}.", *lines]
        else:
            reasons, missing = [], []
        entries = [line for each in self.entries for line in _entry(each)]
        return [*reasons, "nodes:", *entries, *missing]

    @property
    def reasons(self) -> list[str]:
        """Why each access method failed: the first reason of each."""
        found = []
        for each in self.tried:
            if each.failed and set(each.failed) & set(self.left):
                first = next(name for name in each.failed if name in self.left)
                found.append(harmless(f"{each.entry.access}: {each.failed[first]}"))
        return found


def first_inventory(request: Request, progress: RunProgress) -> FirstInventory:
    """Read the API and try access methods on some nodes. Raises what `request.SENTENCES` lists."""
    source = LiveCluster.open(request)
    identity = source.identity
    kubeconfig = str(request.kubeconfig.absolute()) if request.kubeconfig else ""
    made = FirstInventory(identity.context, identity.version, kubeconfig)
    nodes = [n.metadata.name for n in source.objects.nodes if not why_unvisitable(n)]
    containers = source.access.usable
    uris = {name: containers[name].uri for name in nodes if name in containers}
    made.entries = _containers(uris, of=len(nodes))
    made.left = sorted(set(nodes) - containers.keys())
    here = [n for n in made.left if n == os.uname().nodename or len(nodes) == 1]
    if here:
        _try(made, source, msgspec.structs.replace(THIS_MACHINE, name=here[0]), here, progress)
    for entry in CANDIDATES:
        if made.left:
            _try(made, source, entry, made.left, progress)
    return made


def _try(
    made: FirstInventory,
    source: LiveCluster,
    entry: NodeEntry,
    names: Sequence[str],
    progress: RunProgress,
) -> None:
    """Visit up to three nodes by this access method; add it for all if it reaches these.

    `doctor` visits all of them.
    """
    some = sorted({names[0], names[len(names) // 2], names[-1]})
    progress.say(f"Trying {entry.access} on {', '.join(some)}.")
    visits = _visits(source.with_inventory(Inventory(nodes=[entry])), some)
    reached = [name for name in some if visits[name].status.reached]
    failed = {n: visit.reason for n, visit in visits.items() if n not in reached}
    made.tried.append(Tried(entry, reached, failed))
    if reached and not failed:
        made.left = [name for name in made.left if name not in names]
        # The first entry that matches a node counts, so a last one may match all.
        made.entries.append(entry)
    elif reached:
        made.left = [name for name in made.left if name not in reached]
        made.entries += [msgspec.structs.replace(entry, name=name) for name in reached]


def _visits(source: LiveCluster, names: Sequence[str]) -> dict[str, VisitRecord]:
    with tempfile.TemporaryDirectory(prefix="wirecheck-") as folder:
        snapshot = Session(source, Silence()).see(Path(folder), names)
        return dict(snapshot.index.looks[0].visits)


def _containers(uris: Mapping[str, str], of: int) -> list[NodeEntry]:
    """Entries for nodes, out of `of` nodes, that are containers on this machine."""
    if len(uris) == of and all(uri == f"docker://{name}" for name, uri in uris.items()):
        return [NodeEntry(name="*", access="docker://{name}")]
    return [NodeEntry(name=name, access=uri) for name, uri in sorted(uris.items())]


def _entry(entry: NodeEntry) -> list[str]:
    lines = [f"  - name: {json.dumps(entry.name)}", f"    access: {entry.access}"]
    return [*lines, "    sudo: true"] if entry.sudo else lines


def _comment(text: str) -> str:
    return harmless(text) or "unknown"
