"""What each tool returns: the JSON that the command of the same name prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from wirecheck.mcp.arguments import (
    Arguments,
    DiffArguments,
    ExplainArguments,
    InspectArguments,
    ListArguments,
    RunArguments,
)
from wirecheck.mcp.settings import Settings
from wirecheck.mcp.snapshot_names import known_names, place_of
from wirecheck.results.ordering import REMARKABLE, by_check, causes_first
from wirecheck.results.records import ItemResult, Results
from wirecheck.run.progress import RunProgress
from wirecheck.run.request import Request, RequestError

NO_CLUSTER = (
    "This server reads snapshots only: name one with `snapshot`, or start the server with "
    "--inventory, --kubeconfig or --context too."
)


def answer(
    arguments: Arguments, settings: Settings, scratch: Path, progress: RunProgress
) -> object:
    """The document of a call, of types that JSON has.

    A live run uses `scratch` if its report is not kept. Raises what `request.SENTENCES` lists.
    """
    match arguments:
        case ListArguments():
            return _list(arguments, settings)
        case ExplainArguments():
            return _explain(arguments)
        case RunArguments():
            return _run(arguments, settings, scratch, progress)
        case InspectArguments():
            return _inspect(arguments, settings)
        case DiffArguments():
            return _diff(arguments, settings)
    raise AssertionError(f"no tool has {type(arguments).__name__}")


def request_for(settings: Settings, snapshot: str | None, **more: Any) -> Request:
    """A request that changes nothing. Raises RequestError for a source that is not allowed."""
    if snapshot is not None:
        place = place_of(settings.snapshots, snapshot)
        inventory = _path(settings.inventory)
        return Request(snapshot=place, inventory=inventory, changes_nothing=True, **more)
    if not settings.reads_cluster:
        raise RequestError(NO_CLUSTER)
    return Request(
        inventory=_path(settings.inventory),
        kubeconfig=_path(settings.kubeconfig),
        context=settings.context,
        changes_nothing=True,
        **more,
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _list(arguments: ListArguments, settings: Settings) -> object:
    from wirecheck.catalogue.profiles import PROFILES
    from wirecheck.cli.catalogue import as_record, loaded, matching

    if arguments.what == "snapshots":
        return {"snapshots": known_names(settings.snapshots)}
    _refuse_unknown_profile(arguments.profile, PROFILES)
    records = [as_record(each) for each in loaded(matching(arguments.words, arguments.profile))]
    if not arguments.long:
        short = ("id", "sentence", "scope", "profiles")
        records = [{name: each[name] for name in short} for each in records]
    return {"checks": msgspec.to_builtins(records)}


def _refuse_unknown_profile(name: str | None, known: Mapping[str, object]) -> None:
    if name is not None and name not in known:
        raise RequestError(f"Unknown profile {name}: choose {', '.join(known)}.")


def _explain(arguments: ExplainArguments) -> object:
    from wirecheck.catalogue.registry import load
    from wirecheck.cli.catalogue import as_record
    from wirecheck.run.selection import named

    return msgspec.to_builtins(as_record(named(load(), arguments.check or "")))


def _run(
    arguments: RunArguments, settings: Settings, scratch: Path, progress: RunProgress
) -> object:
    from wirecheck.catalogue.profiles import PROFILES
    from wirecheck.run.reported_run import perform

    _refuse_unknown_profile(arguments.profile, PROFILES)
    is_kept = settings.report_dir is not None and arguments.snapshot is None
    request = request_for(
        settings,
        arguments.snapshot,
        profile=arguments.profile,
        nodes=tuple(arguments.nodes),
        namespaces=tuple(arguments.namespaces),
        rounds=arguments.rounds,
        report_dir=Path(settings.report_dir or "") if is_kept else scratch / "reports",
    )
    results, folder = perform(request, arguments.checks, progress)
    if not is_kept and request.snapshot is None:
        # The snapshot of the run is gone when the call ends.
        started = msgspec.structs.replace(results.started, inspect_options="")
        results = msgspec.structs.replace(results, started=started)
    document = _document(results, everything=arguments.everything)
    return document | ({"folder": str(folder)} if is_kept else {})


def _document(results: Results, *, everything: bool) -> dict[str, object]:
    """The lines of results.jsonl, the verdict first, root causes before their symptoms."""
    items = _ordered(results)
    shown = [each for each in items if everything or each.outcome in REMARKABLE]
    checks = {each.check for each in shown}
    started = msgspec.structs.replace(
        results.started, checks=[each for each in results.started.checks if each.id in checks]
    )
    lines: dict[str, object] = {"ended": results.ended, "items": shown}
    lines["items_left_out"] = len(items) - len(shown)
    if results.comparison:
        lines["comparison"] = results.comparison
    builtins: dict[str, object] = msgspec.to_builtins(lines | {"started": started})
    return builtins


def _ordered(results: Results) -> Sequence[ItemResult]:
    from wirecheck.results.causes import symptoms

    causes = symptoms(results.items)
    return [item for check in causes_first(by_check(results), causes) for item in check.items]


def _inspect(arguments: InspectArguments, settings: Settings) -> object:
    from wirecheck.cli.inspect_subject import node_named, pod_named, scene_of, service_named
    from wirecheck.inspect.node import node_view
    from wirecheck.inspect.pod import pod_view
    from wirecheck.inspect.service import service_view
    from wirecheck.model.cluster import Cluster

    name, node = arguments.name or "", arguments.node

    def nodes(cluster: Cluster) -> set[str]:
        if arguments.kind == "pod":
            return {pod_named(cluster, name).node_name}
        if arguments.kind == "node":
            return {node_named(cluster, name)}
        service_named(cluster, name)
        return {node_named(cluster, node)} if node else set(cluster.nodes)

    with scene_of(request_for(settings, arguments.snapshot), nodes) as scene:
        if arguments.kind == "pod":
            return msgspec.to_builtins(pod_view(scene, pod_named(scene.cluster, name)))
        if arguments.kind == "node":
            return msgspec.to_builtins(node_view(scene, name))
        wanted = service_named(scene.cluster, name)
        return msgspec.to_builtins(service_view(scene, wanted, nodes(scene.cluster)))


def _diff(arguments: DiffArguments, settings: Settings) -> object:
    from wirecheck.cli.diff_screen import compared_runs

    before = place_of(settings.snapshots, arguments.before or "")
    now = place_of(settings.snapshots, arguments.now or "")
    return msgspec.to_builtins(compared_runs(before, now).difference)
