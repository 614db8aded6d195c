"""Before the first run: can the API be read, can every node be reached, and what would a run skip?

No verdict is given. One round is taken all the same: only that shows what will be missing.
"""

from __future__ import annotations

import shlex
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import UNREACHABLE, load
from wirecheck.collect.api.client import Api
from wirecheck.collect.api.errors import ApiStatusError
from wirecheck.collect.api.resources import (
    CONFIG_MAPS,
    DAEMON_SETS,
    DNS_ROLE,
    NAMESPACES,
    RESOURCES,
    RUNTIME_CLASSES,
)
from wirecheck.collect.plan.unvisitable import why_unvisitable
from wirecheck.evaluation.slow_commands import slow_commands
from wirecheck.inspect.snapshot_summary import objects_counted
from wirecheck.inventory.file import AccessMethod, missing_lines
from wirecheck.results.exit_statuses import HEALTHY, INCOMPLETE
from wirecheck.results.records import ItemResult
from wirecheck.run.live import LiveCluster, connect
from wirecheck.run.progress import RunProgress
from wirecheck.run.request import Request
from wirecheck.run.session import Session
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import VisitStatus
from wirecheck.text import duration, listed, plural

NAMED = 5
"""Nodes that a line names."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One line of the examination."""

    topic: str
    text: str
    under: str = ""
    """The topic that this one gives details of."""
    lines: str = ""
    """Lines that can be copied into a file unchanged."""
    lacks: bool = False
    """Whether it prevents a run from checking everything."""

    def __str__(self) -> str:
        """`rights           list nodes, pods …`."""
        topic = f"  {self.topic}" if self.under else self.topic
        return "\n".join(filter(None, (f"{topic:17}{self.text}", self.lines)))


@dataclass(slots=True)
class Examination:
    """What was found, and the exit status that follows."""

    status: int = HEALTHY
    remarks: list[Remark] = field(default_factory=list)

    def say(self, topic: str, text: str, under: str = "") -> None:
        """Add a remark."""
        self.remarks.append(Remark(topic, text, under))

    def lacks(self, topic: str, text: str, under: str = "", lines: str = "") -> None:
        """Add a remark about a problem that prevents a run from checking everything."""
        self.remarks.append(Remark(topic, text, under, lines, lacks=True))
        self.status = INCOMPLETE


def examine(request: Request, progress: RunProgress) -> Examination:
    """Read the API and visit every node once. Raises what `request.SENTENCES` lists."""
    found = Examination()
    inventory = request.read_checked_inventory()
    api = connect(request, inventory)
    found.say("context", f"{api.context}, Kubernetes {api.server_version}")
    refused = list(_refused(api))
    if refused:
        for sentence in refused:
            found.lacks("not allowed", sentence)
        return found
    source = LiveCluster(request, inventory, api)
    session = Session(source, progress)
    found.say("objects", objects_counted(source.objects, None))
    _report_rights(found, api)
    _report_access(found, source)
    methods = source.access.usable
    progress.say(f"Visiting {plural(len(methods), 'node')} once.")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wirecheck-") as scratch:
        snapshot = session.see(Path(scratch))
        visiting = time.monotonic() - began
        _report_visits(found, snapshot, methods, source.thresholds.get(UNREACHABLE, 0))
        _report_tools(found, snapshot)
        began = time.monotonic()
        _report_checks(found, session.evaluate(load()))
        evaluating = time.monotonic() - began
    if session.interrupted:
        found.lacks("interrupted", "Not everything was examined; run it again.")
    _report_duration(found, snapshot, visiting + evaluating, source.pauses)
    return found


def _refused(api: Api) -> Iterator[str]:
    """Why nothing can be checked: for every list that is refused, a sentence with its rule."""
    for resource in RESOURCES:
        try:
            if resource.required:
                api.version_now(resource)
        except ApiStatusError as error:
            if error.status != 403:
                raise
            yield str(error)


def _report_rights(found: Examination, api: Api) -> None:
    if not api.problems:
        listed = (*RESOURCES, DAEMON_SETS, RUNTIME_CLASSES, NAMESPACES)
        lists = ", ".join(resource.plural for resource in listed)
        maps = ", ".join(CONFIG_MAPS)
        found.say(
            "rights",
            f"list {lists}; get ConfigMaps {maps}, Namespace kube-system,"
            f" ClusterRole and ClusterRoleBinding {DNS_ROLE}",
        )
    for problem in api.problems:
        found.lacks("not read", problem)


def _report_access(found: Examination, source: LiveCluster) -> None:
    methods = source.access.usable.values()
    kinds = Counter(method.uri.partition("://")[0] for method in methods)
    for kind, number in sorted(kinds.items()):
        found.say("access", f"{plural(number, 'node')} by {kind}")
    for reason in filter(None, map(why_unvisitable, source.objects.nodes)):
        found.say("skipped", reason)
    for reason in source.access.unusable.values():
        found.lacks("no access", reason)
    if without := source.without_access:
        lines = missing_lines(without).rstrip()
        what = f"{plural(len(without), 'node')}; these lines in an inventory add them:"
        found.lacks("no access", what, lines=lines)


def _report_visits(
    found: Examination, snapshot: Snapshot, methods: Mapping[str, AccessMethod], unreachable: float
) -> None:
    visits = snapshot.index.looks[0].visits
    seen = {name: visit for name, visit in visits.items() if visit.status.reached}
    if seen:
        slowest = max(seen, key=lambda name: seen[name].seconds)
        queries = sum(visit.dns_queries for visit in seen.values())
        found.say(
            "visits",
            f"{len(seen):,} of {plural(len(visits), 'node')} visited, the slowest was {slowest} "
            f"with {seen[slowest].seconds:.1f} s; {plural(queries, 'DNS query', 'DNS queries')}",
        )
    for sentence in slow_commands(snapshot.index):
        found.say("slow", sentence, under="visits")
    failed = [name for name in sorted(visits) if name in methods and name not in seen]
    for name in failed:
        visit = visits[name]
        if visit.status is VisitStatus.GONE:
            found.say("gone", f"{name}: {visit.reason}")
            continue
        found.say("not reached", visit.reason)
        if line := command_by_hand(methods[name]):
            found.say("by hand", line, under="not reached")
        if len(failed) > unreachable:
            found.status = INCOMPLETE


def command_by_hand(access: AccessMethod) -> str:
    """The command with the same access to the node; empty if there is none."""
    target = urlsplit(access.uri)
    python = [*(["sudo", "-n"] if access.sudo else []), "python3", "--version"]
    match target.scheme:
        case "ssh":
            host = target.hostname or ""
            words = ["ssh", "-o", "BatchMode=yes"]
            words += ["-F", access.ssh_config] if access.ssh_config else []
            words += ["-i", access.identity_file] if access.identity_file else []
            words += ["-p", str(target.port)] if target.port else []
            words += [f"{target.username}@{host}" if target.username else host]
            return f"{shlex.join(words)} {shlex.join(python)}"
        case "docker" | "podman":
            return shlex.join([target.scheme, "exec", target.netloc, *python])
    return ""


def _report_tools(found: Examination, snapshot: Snapshot) -> None:
    """Missing programs of a node, without which part of it cannot be read."""
    lacking: dict[str, list[str]] = defaultdict(list)
    for name in snapshot.node_names():
        for command in snapshot.document(name).commands.values():
            if command.problem == "missing":
                lacking[command.argv[0]].append(name)
    for tool, names in sorted(lacking.items()):
        found.say("missing tool", f"{tool} on {listed(sorted(set(names)), NAMED)}")


def _report_checks(found: Examination, items: Sequence[ItemResult]) -> None:
    """What a run would not apply or could not evaluate, and why."""
    evaluated = sum(item.outcome not in (Outcome.SKIP, Outcome.ERROR) for item in items)
    found.say("checks", f"{evaluated:,} of {plural(len(items), 'item')} can be evaluated")
    for (check, reason), names in _by_reason(items, Outcome.SKIP).items():
        found.say("not applicable", f"{check}{_where(names)}: {reason}", under="checks")
    unseen = {item.node for item in items if item.folded}
    for (check, reason), names in _by_reason(items, Outcome.ERROR).items():
        if set(names) - unseen:
            found.lacks("error", f"{check}{_where(names)}: {reason}", under="checks")


def _by_reason(
    items: Sequence[ItemResult], outcome: Outcome
) -> Mapping[tuple[str, str], list[str]]:
    """The nodes of each check and reason."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in items:
        if item.outcome is outcome and not item.folded:
            reason = item.reason or "; ".join(finding.found for finding in item.findings[:1])
            found[item.check, reason].append(item.node)
    return found


def _where(names: Sequence[str]) -> str:
    return f" on {listed(sorted(names), NAMED)}" if any(names) else ""


def _report_duration(
    found: Examination, snapshot: Snapshot, seconds: float, pauses: Sequence[float]
) -> None:
    longest = seconds * (1 + len(pauses)) + sum(pauses)
    text = f"about {duration(max(1.0, seconds))} for a run"
    if pauses:
        rounds = plural(1 + len(pauses), "round")
        text += f"; with findings at most {rounds}, about {duration(longest)}"
    size = sum(visit.bytes for visit in snapshot.index.looks[0].visits.values())
    found.say("duration", f"{text}; {size / 1e6:.1f} MB from the nodes")
