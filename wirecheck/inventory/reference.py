"""The reference of the inventory, generated from its types: a page and a JSON schema.

`python -m wirecheck.inventory.reference` writes both again after the types changed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from wirecheck.catalogue.registry import UNREACHABLE, load
from wirecheck.inventory.file import Inventory

HERE = Path(__file__).parent
SCHEMA = HERE / "inventory.schema.json"
PAGE = HERE.parents[1] / "docs" / "inventory-reference.md"

HEAD = """\
# Every option of the inventory

Generated from the inventory's types by `python -m wirecheck.inventory.reference`.
[inventory.md](inventory.md) has an example and explains it. Editors that support JSON Schema
complete and validate the file with
[`inventory.schema.json`](../wirecheck/inventory/inventory.schema.json): begin it with
`# yaml-language-server: $schema=inventory.schema.json`.
"""

MEANS: Mapping[str, Mapping[str, str]] = {
    "Inventory": {
        "nodes": "How to reach the nodes; the first entry whose name matches is used. Required "
        "without `ansible`.",
        "ansible": "An Ansible inventory, for nodes that no entry matches. Relative to this file.",
        "kubeconfig": "Default: `$KUBECONFIG`, otherwise `~/.kube/config`. Relative to this file.",
        "context": "A context of the kubeconfig. Default: its current context.",
        "cluster_name": "The cluster's name in reports, metrics and messages. Default: the "
        "context, or within a pod the uid of the namespace kube-system.",
        "agent": "Agent pods, for nodes whose `access` is `kubectl://`.",
        "helper_pods": "Pods for one run that exchange large messages; created only on request.",
        "dns": "Names and limits of the DNS queries.",
        "limits": "Limits of the visits.",
        "rounds": "When failing checks are checked again.",
        "upgrade_target": "The version of Kubernetes of the next upgrade, in quotes: "
        '`"1.40"`. Deprecations that a later version brings are left out.',
        "thresholds": "Thresholds of checks; see below.",
        "waivers": "Failures that are accepted until a date.",
    },
    "NodeEntry": {
        "name": "A glob that is matched with the names of nodes.",
        "access": "`ssh://USER@HOST`, `docker://NAME`, `podman://NAME`, `kubectl://`, `local://`; "
        "`{name}` and `{address}` are replaced.",
        "port": "The port of sshd.",
        "ssh_config": "Instead of `~/.ssh/config`. Relative to the inventory.",
        "identity_file": "The path of a key, never the key. Relative to the inventory.",
        "sudo": "Become root with `sudo -n`.",
    },
    "Agent": {
        "namespace": "The namespace of the agents, and of agents that are created for a run.",
        "image": "The image of agents created for a run, on nodes without an agent. Default: none "
        "are created.",
        "pull_secrets": "Secrets for the image's registry, in that namespace.",
        "start": "Seconds until all agents created for a run must have started.",
        "privileged": "For platforms on which only privileged pods may enter a node's namespaces.",
    },
    "HelperPods": {
        "always": "Create them in every run that has checks for them, as with `--helper-pods`.",
        "namespace": "Their namespace. The Pod Security level `restricted` is sufficient.",
        "image": "An image with `python3`. Default: `agent.image`.",
        "pull_secrets": "Secrets for the image's registry, in that namespace.",
        "start": "Seconds until all of them must have started.",
    },
    "Dns": {
        "rate": "Queries per second, over the whole cluster.",
        "tries": "Attempts before a query counts as lost.",
        "timeout": "Seconds per attempt, more than two, so that slow answers do not count as lost.",
        "external_names": "Names outside the cluster that every DNS replica has to resolve. "
        "Default: none is queried.",
    },
    "Limits": {
        "node": "Seconds for the visit to one node.",
        "total": "Seconds for all visits of one round.",
        "workers": "Parallel visits.",
    },
    "Rounds": {
        "intervals": "Seconds before the second, the third … round; `[]` for one round.",
    },
    "Waiver": {
        "check": "A glob that is matched with IDs of checks.",
        "where": "A glob that is matched with nodes and objects.",
        "reason": "Why it is accepted.",
        "owner": "Who to ask.",
        "until": "A date, such as 2027-01-31. The finding counts again after it.",
    },
}
PLACES = {"Inventory": "The file", "NodeEntry": "`nodes`, each", "Waiver": "`waivers`, each"}


def schema() -> dict[str, Any]:
    """The JSON schema of an inventory, with a description of each option."""
    made: dict[str, Any] = msgspec.json.schema(Inventory)
    for name, part in made["$defs"].items():
        for option, about in part["properties"].items():
            # An option without a description raises KeyError.
            part["properties"][option] = {**about, "description": MEANS[name][option]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An inventory of wirecheck",
        **made,
    }


def schema_text() -> str:
    """The text of the schema file beside this module."""
    return json.dumps(schema(), indent=2) + "\n"


def page() -> str:
    """The reference as Markdown."""
    return "\n".join([HEAD, *_lines()]) + "\n"


def _lines() -> Iterator[str]:
    for name, part in schema()["$defs"].items():
        yield f"## {PLACES.get(name, f'`{name.lower()}`')}\n"
        yield "| option | is | default | |"
        yield "|---|---|---|---|"
        for option, about in part["properties"].items():
            needed = option in part["required"]
            default = "" if needed else _default(about["default"])
            yield f"| `{option}` | {_kind(about)} | {default} | {about['description']} |"
        yield ""
    yield "## Thresholds\n"
    yield "| threshold | default | used by | reason |"
    yield "|---|---|---|---|"
    yield (
        f"| `{UNREACHABLE}` | 0 nodes | the whole run | so many nodes may be unreachable before "
        "the exit status is 2 |"
    )
    for check in load():
        for each in check.thresholds:
            yield f"| `{each.name}` | {each.default:g} {each.unit} | `{check.id}` | {each.reason} |"


def _kind(about: Mapping[str, Any]) -> str:
    if options := about.get("anyOf"):
        return next(_kind(each) for each in options if each.get("type") != "null")
    kind = str(about.get("type", "as below"))
    if kind == "array":
        return f"list: {_kind(about['items'])}" if "type" in about["items"] else "list, as below"
    words = {"string": "text", "boolean": "true or false", "integer": "whole number"}
    said = words.get(kind, "numbers by name" if "additionalProperties" in about else kind)
    if "exclusiveMinimum" in about:
        said += f" above {about['exclusiveMinimum']}"
    if "minimum" in about:
        said += f", at least {about['minimum']}"
    if "maximum" in about:
        said += f", at most {about['maximum']}"
    return said


def _default(value: object) -> str:
    if value in (None, [], {}) or isinstance(value, dict):
        return ""
    return f"`{json.dumps(value)}`"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text())
    PAGE.write_text(page())
