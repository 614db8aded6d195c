"""Before the first run: is the cluster reached, may it be read, is every node reached, and then?

Nothing is judged, but one look is taken: only that tells what will be missing.
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
from wirecheck.catalogue.registry import load
from wirecheck.collect.api.client import Api
from wirecheck.collect.api.errors import ApiStatusError
from wirecheck.collect.api.resources import CONFIG_MAPS, DNS_ROLE, RESOURCES
from wirecheck.collect.plan.unvisitable import why_unvisitable
from wirecheck.evaluation.verdict import HEALTHY, INCOMPLETE, UNREACHABLE
from wirecheck.inspect.snapshot_summary import objects_counted, slow_commands
from wirecheck.inventory.file import AccessMethod, missing_lines
from wirecheck.results.records import ItemResult
from wirecheck.run.live import LiveRun, connect
from wirecheck.run.replay import Replay
from wirecheck.run.request import Request
from wirecheck.run.round import Progress
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import VisitStatus
from wirecheck.text import duration, listed, plural

NAMED = 5
"""Nodes that a line names."""


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing that was found."""

    topic: str
    text: str
    under: str = ""
    """The topic that it tells more about."""
    lines: str = ""
    """What can be copied into a file, as it is."""
    lacks: bool = False
    """Whether it keeps a run from seeing everything."""

    def __str__(self) -> str:
        """`rights        list nodes, pods …`."""
        topic = f"  {self.topic}" if self.under else self.topic
        return "\n".join(filter(None, (f"{topic:14}{self.text}", self.lines)))


@dataclass(slots=True)
class Examination:
    """What was found, and the exit status that says so."""

    status: int = HEALTHY
    remarks: list[Remark] = field(default_factory=list)

    def say(self, topic: str, text: str, under: str = "") -> None:
        """Add a remark."""
        self.remarks.append(Remark(topic, text, under))

    def lacks(self, topic: str, text: str, under: str = "", lines: str = "") -> None:
        """Add a remark about something that keeps a run from seeing everything."""
        self.remarks.append(Remark(topic, text, under, lines, lacks=True))
        self.status = INCOMPLETE


def examine(request: Request, progress: Progress) -> Examination:
    """Read the API, look once at every node, judge nothing. Raises what `SENTENCES` lists."""
    found = Examination()
    inventory = request.read_inventory()
    api = connect(request, inventory)
    found.say("context", f"{api.context}, Kubernetes {api.server_version}")
    refused = list(_refused(api))
    if refused:
        for sentence in refused:
            found.lacks("not allowed", sentence)
        return found
    run = LiveRun(request, inventory, api)
    found.say("objects", objects_counted(run.objects))
    _tell_of_rights(found, api)
    _tell_of_ways(found, run)
    progress.say(f"One look, at {plural(len(run.access_methods), 'node')}.")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="wirecheck-") as scratch:
        snapshot = run.look_only(run.node_names, Path(scratch), progress)
        seconds = time.monotonic() - began
        _tell_of_visits(found, snapshot, run.access_methods, run.thresholds.get(UNREACHABLE, 0))
        _tell_of_tools(found, snapshot)
        began = time.monotonic()
        _tell_of_checks(found, snapshot, progress)
        judging = time.monotonic() - began
    _tell_of_time(found, snapshot, seconds, judging, request.pauses(inventory.rounds.intervals))
    return found


def _refused(api: Api) -> Iterator[str]:
    """Why nothing could be judged: a sentence, with its rule, for every list that is refused."""
    for resource in RESOURCES:
        try:
            if resource.required:
                api.version_now(resource)
        except ApiStatusError as error:
            if error.status != 403:
                raise
            yield str(error)


def _tell_of_rights(found: Examination, api: Api) -> None:
    if not api.problems:
        lists = ", ".join(resource.plural for resource in RESOURCES)
        maps = ", ".join(CONFIG_MAPS)
        found.say(
            "rights",
            f"list {lists}; get ConfigMaps {maps}, Namespace kube-system,"
            f" ClusterRole and ClusterRoleBinding {DNS_ROLE}",
        )
    for problem in api.problems:
        found.lacks("not read", problem)


def _tell_of_ways(found: Examination, run: LiveRun) -> None:
    kinds = Counter(access.uri.partition("://")[0] for access in run.access_methods.values())
    for kind, number in sorted(kinds.items()):
        found.say("ways in", f"{number:,} by {kind}")
    skipped = {each.metadata.name: why_unvisitable(each) for each in run.objects.nodes}
    for reason in filter(None, skipped.values()):
        found.say("skipped", reason)
    visitable = {name for name, reason in skipped.items() if not reason}
    for reason in run.unusable.values():
        found.lacks("no way in", reason)
    without = sorted(visitable - run.access_methods.keys() - run.unusable.keys())
    if without:
        lines = missing_lines(without).rstrip()
        what = f"{plural(len(without), 'node')}; an inventory with this adds it:"
        found.lacks("no way in", what, lines=lines)


def _tell_of_visits(
    found: Examination, snapshot: Snapshot, methods: Mapping[str, AccessMethod], unreachable: float
) -> None:
    visits = snapshot.index.looks[0].visits
    seen = {name: visit for name, visit in visits.items() if visit.status.reached}
    if seen:
        slowest = max(seen, key=lambda name: seen[name].seconds)
        queries = sum(visit.dns_queries for visit in seen.values())
        found.say(
            "visits",
            f"{len(seen):,} of {plural(len(visits), 'node')} seen, the slowest was {slowest} with "
            f"{seen[slowest].seconds:.1f} s; {queries:,} DNS queries",
        )
    for sentence in slow_commands(snapshot.index):
        found.say("slow", sentence, under="visits")
    failed = [name for name in sorted(visits) if name in methods and name not in seen]
    for name in failed:
        visit = visits[name]
        if visit.status is VisitStatus.GONE:
            found.say("left out", f"{name}: {visit.reason}")
            continue
        found.say("not seen", visit.reason)
        if line := way_by_hand(methods[name]):
            found.say("by hand", line, under="not seen")
        if len(failed) > unreachable:
            found.status = INCOMPLETE


def way_by_hand(access: AccessMethod) -> str:
    """What to type to see the same; nothing where there is no such line."""
    place = urlsplit(access.uri)
    python = [*(["sudo", "-n"] if access.sudo else []), "python3", "--version"]
    match place.scheme:
        case "ssh":
            host = place.hostname or ""
            words = ["ssh", "-o", "BatchMode=yes"]
            words += ["-F", access.ssh_config] if access.ssh_config else []
            words += ["-i", access.identity_file] if access.identity_file else []
            words += ["-p", str(place.port)] if place.port else []
            return shlex.join([*words, f"{place.username}@{host}" if place.username else host]) + (
                f" {shlex.join(python)}"
            )
        case "docker" | "podman":
            return shlex.join([place.scheme, "exec", place.netloc, *python])
    return ""


def _tell_of_tools(found: Examination, snapshot: Snapshot) -> None:
    """Programs that a node would have to have for what is there to be read."""
    lacking: dict[str, list[str]] = defaultdict(list)
    for name in snapshot.node_names():
        for command in snapshot.document(name).commands.values():
            if command.problem == "missing":
                lacking[command.argv[0]].append(name)
    for tool, names in sorted(lacking.items()):
        found.say("no tool", f"{tool} on {listed(sorted(set(names)), NAMED)}")


def _tell_of_checks(found: Examination, snapshot: Snapshot, progress: Progress) -> None:
    """What a run would skip, and what it could not judge, and why."""
    replay = Replay(snapshot)
    replay.begin(load(), snapshot.path, progress)
    items = [item for name in replay.node_names for item in replay.node(name)]
    items += replay.cluster()
    judged = sum(item.outcome not in (Outcome.SKIP, Outcome.ERROR) for item in items)
    found.say("checks", f"{judged:,} of {plural(len(items), 'item')} can be judged")
    for (check, reason), names in _gathered(items, Outcome.SKIP).items():
        found.say("skipped", f"{check}{_where(names)}: {reason}", under="checks")
    unseen = {item.node for item in items if item.folded}
    for (check, reason), names in _gathered(items, Outcome.ERROR).items():
        if set(names) - unseen:
            found.lacks("not judged", f"{check}{_where(names)}: {reason}", under="checks")


def _gathered(items: Sequence[ItemResult], outcome: Outcome) -> Mapping[tuple[str, str], list[str]]:
    """The nodes of each check and reason."""
    found: dict[tuple[str, str], list[str]] = defaultdict(list)
    for item in items:
        if item.outcome is outcome and not item.folded:
            said = item.reason or "; ".join(finding.found for finding in item.findings[:1])
            found[item.check, said].append(item.node)
    return found


def _where(names: Sequence[str]) -> str:
    return f" on {listed(sorted(names), NAMED)}" if any(names) else ""


def _tell_of_time(
    found: Examination,
    snapshot: Snapshot,
    seconds: float,
    judging: float,
    pauses: Sequence[float],
) -> None:
    whole = seconds + judging
    longest = whole * (1 + len(pauses)) + sum(pauses)
    text = f"about {duration(max(1.0, whole))} for a run"
    if pauses:
        text += (
            f"; where something is found at most {plural(1 + len(pauses), 'look')}, "
            f"about {duration(longest)}"
        )
    size = sum(visit.bytes for visit in snapshot.index.looks[0].visits.values())
    found.say("takes", f"{text}; {size / 1e6:.1f} MB from the nodes")
