"""The arguments with which `wirecheck inspect` shows the object of a finding."""

from __future__ import annotations

import shlex

from wirecheck.catalogue.findings import Ref
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node


def inspect_arguments(about: Ref, subject: Node | Cluster) -> str:
    """`pod shop/web-0`, `service shop/web --node w1` or `node w1`, quoted for a shell.

    Empty if there is no such view: an object that the API no longer has is shown on its node.
    """
    cluster = subject if isinstance(subject, Cluster) else subject.cluster
    node = subject.name if isinstance(subject, Node) else ""
    name = f"{about.namespace}/{about.name}"
    if about.kind == "Pod" and (about.namespace, about.name) in cluster.pod_names:
        return shlex.join(["pod", name])
    if about.kind == "Service" and (about.namespace, about.name) in cluster.services:
        return shlex.join(["service", name, *(["--node", node] if node else [])])
    if about.kind == "Node" and about.name in cluster.nodes:
        node = about.name
    return shlex.join(["node", node]) if node in cluster.nodes else ""
