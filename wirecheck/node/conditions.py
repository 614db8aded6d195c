"""A node's conditions in the API."""

from __future__ import annotations

from collections.abc import Iterator

from wirecheck.snapshot.objects import metadata
from wirecheck.snapshot.objects.node import NodeObject


def is_ready(node: NodeObject) -> bool:
    """Return whether the kubelet reports the node as Ready."""
    return metadata.is_ready(node.status.conditions)


def why_not_ready(node: NodeObject) -> str:
    """Return the status and reason of condition Ready, and since when it has them."""
    for each in node.status.conditions:
        if each.type == "Ready":
            return f"Ready is {each.status} ({each.reason}) since {each.last_transition_time}"
    return "no Ready condition: kubelet has never reported"


def network_problems(node: NodeObject) -> Iterator[tuple[str, str]]:
    """Yield the conditions that show that the node has no network for pods: (type, text)."""
    for each in node.status.conditions:
        if each.type == "NetworkUnavailable" and each.status == "True":
            yield each.type, f"{each.status} ({each.reason}) since {each.last_transition_time}"
        if each.type == "Ready" and each.message:
            yield each.type, each.message
