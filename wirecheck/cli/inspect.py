"""`wirecheck inspect`: the commands."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wirecheck.cli import completion
from wirecheck.cli.json_text import json_text
from wirecheck.cli.parameter_types import PATH
from wirecheck.cli.shared_options import CONTEXT, KUBECONFIG, TEXT_OR_JSON

if TYPE_CHECKING:
    from wirecheck.inspect.drawing import Line
    from wirecheck.inspect.parts import View
    from wirecheck.model.cluster import Cluster

Command = TypeVar("Command", bound=Callable[..., Any])


def source_options(command: Command) -> Command:
    """Add the options that name the cluster or snapshot, and the format."""
    for decorate in (
        TEXT_OR_JSON,
        CONTEXT,
        KUBECONFIG,
        click.option("--inventory", "-i", type=PATH, help="Access to the nodes."),
        click.option(
            "--snapshot",
            type=PATH,
            help="Show the snapshot of an earlier run, without a cluster.",
            is_eager=True,
        ),
    ):
        command = decorate(command)
    return command


@click.group("inspect")
def inspect() -> None:
    """Show everything known about one pod, Service, node or NetworkPolicy."""


def namespace_option(command: Command) -> Command:
    """Add `-n`, as kubectl has it."""
    return click.option(
        "-n", "--namespace", metavar="NAME", help="Namespace of a name without one."
    )(command)


@inspect.command("pod")
@click.argument("pod", metavar="NAMESPACE/NAME", default="", shell_complete=completion.pods)
@namespace_option
@click.option(
    "-l", "--selector", metavar="LABELS", help="Every pod with these labels: app=web,tier!=db."
)
@source_options
def inspect_pod(
    *, pod: str, namespace: str | None, selector: str | None, output: str, **source: Any
) -> None:
    """Show a pod's path: its netns, its veth pair, the node, routes to other nodes, DNS.

    On a live cluster, only the nodes of the pods are visited. With -l, JSON is a list.
    """
    from wirecheck.cli.inspect_selector import pods_selected, qualified
    from wirecheck.cli.inspect_subject import pod_named, scene_of, source_request
    from wirecheck.inspect.pod import pod_view
    from wirecheck.inspect.pod_drawing import pod_lines

    if bool(pod) == bool(selector):
        raise click.UsageError(
            "Name one pod as NAMESPACE/NAME or with -n, or select several with -l."
        )

    def names(cluster: Cluster) -> list[str]:
        if selector:
            return pods_selected(cluster, selector, namespace)
        return [qualified(pod, namespace)]

    def nodes(cluster: Cluster) -> Collection[str]:
        return {pod_named(cluster, name).node_name for name in names(cluster)}

    with scene_of(source_request(**source), nodes) as scene:
        views = [pod_view(scene, pod_named(scene.cluster, name)) for name in names(scene.cluster)]
    if selector and output == "json":
        click.echo(json_text(views))
        return
    for number, view in enumerate(views):
        if number:
            click.echo()
        print_view(view, pod_lines(view), output)


@inspect.command("service")
@click.argument("service", metavar="NAMESPACE/NAME", shell_complete=completion.services)
@click.option(
    "--node",
    metavar="NAME",
    help="Only this node, with its rules.",
    shell_complete=completion.nodes,
)
@namespace_option
@source_options
def inspect_service(
    *, service: str, node: str | None, namespace: str | None, output: str, **source: Any
) -> None:
    """Show how each node handles a Service, compared with the API.

    On a live cluster, every node is visited that can be reached, or only the one of --node.
    """
    from wirecheck.cli.inspect_selector import qualified
    from wirecheck.cli.inspect_subject import (
        node_named,
        scene_of,
        service_named,
        source_request,
    )
    from wirecheck.inspect.service import service_view
    from wirecheck.inspect.service_drawing import service_lines

    service = qualified(service, namespace)

    def nodes(cluster: Cluster) -> Collection[str]:
        service_named(cluster, service)
        return {node_named(cluster, node)} if node else cluster.nodes.keys()

    with scene_of(source_request(**source), nodes) as scene:
        wanted = service_named(scene.cluster, service)
        view = service_view(scene, wanted, nodes(scene.cluster))
    print_view(view, service_lines(view, node or ""), output)


@inspect.command("node")
@click.argument("node", metavar="NAME", shell_complete=completion.nodes)
@source_options
def inspect_node(*, node: str, output: str, **source: Any) -> None:
    """Show a node's links, routes, kube-proxy and conntrack table, and what is wrong there."""
    from wirecheck.cli.inspect_subject import node_named, scene_of, source_request
    from wirecheck.inspect.node import node_view
    from wirecheck.inspect.node_drawing import node_lines

    def nodes(cluster: Cluster) -> Collection[str]:
        return {node_named(cluster, node)}

    with scene_of(source_request(**source), nodes) as scene:
        view = node_view(scene, node)
    print_view(view, node_lines(view), output)


@inspect.command("policy")
@click.argument("policy", metavar="NAMESPACE/NAME", shell_complete=completion.policies)
@namespace_option
@source_options
def inspect_policy(*, policy: str, namespace: str | None, output: str, **source: Any) -> None:
    """Show which pods a NetworkPolicy selects, and who may connect to whom.

    This is what the API says. No node is visited, and what a node enforces is not read.
    """
    from wirecheck.cli.inspect_selector import qualified
    from wirecheck.cli.inspect_subject import policy_named, scene_of, source_request
    from wirecheck.inspect.policy import policy_view
    from wirecheck.inspect.policy_drawing import policy_lines

    policy = qualified(policy, namespace)

    def nodes(cluster: Cluster) -> Collection[str]:
        policy_named(cluster, policy)
        return ()

    with scene_of(source_request(**source), nodes) as scene:
        view = policy_view(scene, policy_named(scene.cluster, policy))
    print_view(view, policy_lines(view), output)


def print_view(view: View, lines: Iterable[Line], output: str) -> None:
    """Print a view as JSON or as its lines."""
    if output == "json":
        click.echo(json_text(view))
    else:
        from rich.console import Console

        from wirecheck.inspect.drawing import show

        show(lines, Console(highlight=False))
