"""Completion: of checks, formats and contexts, and of names in the snapshot that is named before.

A shell waits for it, so only what the answer needs is imported. No cluster is queried, and no
error is reported.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from wirecheck.report.format_names import CHAT_NAMES, FORMAT_NAMES, PAGE_FORMATS

if TYPE_CHECKING:
    from wirecheck.snapshot.api_objects import ApiObjects
    from wirecheck.snapshot.objects.metadata import Metadata

Completion = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


def checks(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Ids of checks, and their groups."""
    from wirecheck.cli.check_outlines import outlines

    known = outlines()
    sentences = {each.group: f"the group {each.group}" for each in known}
    sentences |= {each.id: each.sentence for each in known}
    return [CompletionItem(k, help=v) for k, v in sentences.items() if k.startswith(typed)]


def formats(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Names of report formats, and the file after `junit=`."""
    name, equals, file = typed.partition("=")
    if equals and name in FORMAT_NAMES:
        return [CompletionItem(file, type="file")]
    return _beginning(typed, FORMAT_NAMES)


def page_formats(
    _context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Formats of commands that also make a page, and the file after `html=`."""
    name, equals, file = typed.partition("=")
    if equals and name in ("html", "json"):
        return [CompletionItem(file, type="file")]
    return _beginning(typed, PAGE_FORMATS)


def chats(_context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names of chats."""
    return _beginning(typed, CHAT_NAMES)


def contexts(
    context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """The contexts of the kubeconfig that a run would read."""
    from wirecheck.collect.api.kubeconfig import KubeconfigError, contexts_of

    with contextlib.suppress(KubeconfigError):
        return _beginning(typed, contexts_of(context.params.get("kubeconfig")))
    return []


def pods(context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """`NAMESPACE/NAME` of pods."""
    api = _api(context)
    return _beginning(typed, _namespaced(each.metadata for each in api.pods)) if api else []


def services(
    context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """`NAMESPACE/NAME` of Services."""
    api = _api(context)
    return _beginning(typed, _namespaced(each.metadata for each in api.services)) if api else []


def policies(
    context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """`NAMESPACE/NAME` of NetworkPolicies."""
    api = _api(context)
    found = api.network_policies if api else ()
    return _beginning(typed, _namespaced(each.metadata for each in found))


def nodes(context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """Names of nodes."""
    api = _api(context)
    return _beginning(typed, (each.metadata.name for each in api.nodes)) if api else []


def namespaces(
    context: click.Context, _parameter: click.Parameter, typed: str
) -> list[CompletionItem]:
    """Namespaces with a pod or a Service."""
    api = _api(context)
    of_pods = {each.metadata.namespace for each in api.pods} if api else set()
    of_services = {each.metadata.namespace for each in api.services} if api else set()
    return _beginning(typed, of_pods | of_services)


def ends(context: click.Context, _parameter: click.Parameter, typed: str) -> list[CompletionItem]:
    """What a path can begin or end at: `pod/shop/web-1`, `node/w1`, `service/shop/web`."""
    api = _api(context)
    if api is None:
        return _beginning(typed, ("pod/", "node/", "service/"))
    pods = (f"pod/{each}" for each in _namespaced(each.metadata for each in api.pods))
    services = (f"service/{each}" for each in _namespaced(e.metadata for e in api.services))
    nodes = (f"node/{each.metadata.name}" for each in api.nodes)
    return _beginning(typed, (*pods, *services, *nodes))


def _api(context: click.Context) -> ApiObjects | None:
    """The API objects of the snapshot; None without one, or if it cannot be read."""
    path = context.params.get("snapshot")
    if not path:
        return None
    from wirecheck.snapshot.folder import Snapshot, SnapshotError

    try:
        return Snapshot.open(path).api()
    except SnapshotError:
        return None


def _namespaced(objects: Iterable[Metadata]) -> Iterable[str]:
    return (f"{each.namespace}/{each.name}" for each in objects)


def _beginning(typed: str, names: Iterable[str]) -> list[CompletionItem]:
    return [CompletionItem(each) for each in sorted(names) if each.startswith(typed)]
