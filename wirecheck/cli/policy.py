"""`wirecheck policy`: what policies would change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from wirecheck.cli.inspect import namespace_option, print_view, source_options
from wirecheck.cli.parameter_types import PATH
from wirecheck.results.exit_statuses import HEALTHY, INCOMPLETE, NOTHING_TO_DO


@click.group("policy")
def policy() -> None:
    """Show what NetworkPolicies that are not applied yet would change."""


@policy.command("preview")
@click.argument("file", type=PATH)
@namespace_option
@source_options
def preview_policies(*, file: Path, namespace: str | None, output: str, **source: Any) -> int:
    """Show which connections the NetworkPolicies of FILE would make possible, and which cut.

    FILE is a manifest in YAML or JSON. Policies of the cluster with the same name are replaced, as
    `kubectl apply` would. This is what the API says; no node is visited, and nothing is changed.
    """
    from wirecheck.cli.inspect_subject import scene_of, source_request
    from wirecheck.cli.policy_file import read_policies
    from wirecheck.inspect.policy_preview import preview_view
    from wirecheck.inspect.policy_preview_drawing import preview_lines

    request = source_request(**source)
    manifest = read_policies(file, namespace or "")
    with scene_of(request, lambda _cluster: ()) as scene:
        view = preview_view(scene, manifest)
    print_view(view, preview_lines(view), output)
    if not any(each.selected for each in view.policies):
        return NOTHING_TO_DO
    return HEALTHY if view.decided else INCOMPLETE
