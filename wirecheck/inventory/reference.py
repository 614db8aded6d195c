"""The reference of the inventory, made from its types: a page for people, a schema for editors.

`python -m wirecheck.inventory.reference` writes both anew after the types changed.
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

Made from the inventory's types by `python -m wirecheck.inventory.reference`;
[inventory.md](inventory.md) explains and has an example. Editors that know JSON schemas complete
and check the file with [`inventory.schema.json`](../wirecheck/inventory/inventory.schema.json):
begin it with `# yaml-language-server: $schema=inventory.schema.json`.
"""

MEANS: Mapping[str, Mapping[str, str]] = {
    "Inventory": {
        "nodes": "Ways into nodes; the first entry whose name matches counts. Needed "
        "where there is no `ansible`.",
        "ansible": "An Ansible inventory, for nodes that no entry matches. Relative to this file.",
        "kubeconfig": "Else `$KUBECONFIG`, else `~/.kube/config`. Relative to the inventory.",
        "context": "Of the kubeconfig; else its current context.",
        "agent": "Agent pods, for nodes whose way in is `kubectl://`.",
        "helper_pods": "Pods for the run, between which large messages are sent; none are made "
        "unless that is asked for.",
        "dns": "What DNS is asked, and its bounds.",
        "limits": "Bounds of the visits.",
        "rounds": "When failing checks are checked again.",
        "thresholds": "Numbers that checks go by; see below.",
        "waivers": "What fails and is accepted, until a date.",
    },
    "NodeEntry": {
        "name": "A glob over the names of nodes.",
        "access": "`ssh://USER@HOST`, `docker://NAME`, `podman://NAME`, `kubectl://`, `local://`; "
        "`{name}` and `{address}` are filled in.",
        "port": "Of ssh.",
        "ssh_config": "Instead of `~/.ssh/config`. Relative to the inventory.",
        "identity_file": "The path of a key, never the key. Relative to the inventory.",
        "sudo": "Become root by `sudo -n`.",
    },
    "Agent": {
        "namespace": "Where agents run, or pods for the run are made.",
        "image": "Pods for the run are made of it on nodes where no agent runs; without it none.",
        "pull_secrets": "Secrets for the image's registry, in that namespace.",
        "start": "Seconds that all pods for the run together have to start.",
        "privileged": "For platforms that let nothing less enter the node's namespaces.",
    },
    "HelperPods": {
        "always": "Make them in every run that has the checks for them, as with `--helper-pods`.",
        "namespace": "Where they are made; it has to admit no more than the level `restricted`.",
        "image": "Any that has a `python3`; without one, `agent.image`.",
        "pull_secrets": "Secrets for the image's registry, in that namespace.",
        "start": "Seconds that all of them together have to start.",
    },
    "Dns": {
        "rate": "Queries per second, over the whole cluster.",
        "tries": "Before a loss counts.",
        "timeout": "Seconds per try: answers that take two seconds are slow ones, and not lost.",
        "external_names": "Names outside the cluster that every DNS replica has to resolve. None "
        "is asked for without being named here.",
    },
    "Limits": {
        "node": "Seconds for the visit to one node.",
        "total": "Seconds for all visits of one round.",
        "workers": "Visits side by side.",
    },
    "Rounds": {
        "intervals": "Seconds before the second, the third … round; `[]` for one round.",
    },
    "Waiver": {
        "check": "A glob over the ids of checks.",
        "where": "A glob over nodes and objects.",
        "reason": "Why it is accepted.",
        "owner": "Whom to ask.",
        "until": "A date, as 2027-01-31; after it the finding counts again.",
    },
}
PLACES = {"Inventory": "The file", "NodeEntry": "`nodes`, each", "Waiver": "`waivers`, each"}


def schema() -> dict[str, Any]:
    """The JSON schema of an inventory, with what each option means."""
    made: dict[str, Any] = msgspec.json.schema(Inventory)
    for name, part in made["$defs"].items():
        for option, about in part["properties"].items():
            # An option without a sentence is a KeyError: it would be undocumented.
            part["properties"][option] = {**about, "description": MEANS[name][option]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An inventory of wirecheck",
        **made,
    }


def schema_text() -> str:
    """The schema as it is kept beside this module."""
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
    yield "| threshold | default | of | why so much |"
    yield "|---|---|---|---|"
    yield (
        f"| `{UNREACHABLE}` | 0 nodes | the whole run | so many nodes may be missing before the "
        "status is 2 |"
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
