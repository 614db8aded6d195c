"""Completion of names, from the snapshot that is named before them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import click
from click.shell_completion import CompletionItem

from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import Snapshot, SnapshotError
from wirecheck.snapshot.objects.metadata import Metadata

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def pods(context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """`NAMESPACE/NAME` of pods."""
    return _beginning(typed, _namespaced(each.metadata for each in _api(context).pods))


def services(
    context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """`NAMESPACE/NAME` of Services."""
    return _beginning(typed, _namespaced(each.metadata for each in _api(context).services))


def nodes(context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names of nodes."""
    return _beginning(typed, (each.metadata.name for each in _api(context).nodes))


def _api(context: click.Context) -> ApiObjects:
    """The snapshot's API objects, or none: completion queries no cluster and reports no error."""
    path = context.params.get("snapshot")
    try:
        return Snapshot.open(path).api() if path else ApiObjects()
    except SnapshotError:
        return ApiObjects()


def _namespaced(objects: Iterable[Metadata]) -> Iterable[str]:
    return (f"{each.namespace}/{each.name}" for each in objects)


def _beginning(typed: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(each) for each in sorted(names) if each.startswith(typed)]
