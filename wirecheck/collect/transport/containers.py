"""Nodes that are Docker containers on this machine: kind, k3d, the test cluster."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wirecheck.collect.transport.bounded_process import (
    CalledOffError,
    OutOfTimeError,
    TooMuchOutputError,
    run_bounded,
)
from wirecheck.inventory.file import AccessMethod
from wirecheck.snapshot.objects.node import NodeObject

SECONDS = 20.0
# Only names and addresses: `docker inspect` would also print the environment.
TEMPLATE = (
    "{{.Name}} {{.Config.Hostname}}"
    "{{range .NetworkSettings.Networks}} {{.IPAddress}} {{.GlobalIPv6Address}}{{end}}"
)


@dataclass(frozen=True, slots=True)
class Container:
    """A running container."""

    name: str
    hostname: str
    addresses: frozenset[str]

    def may_be(self, node: NodeObject) -> bool:
        """Whether the container could be the node; the visit proves it."""
        internal = {each.address for each in node.status.addresses if each.type == "InternalIP"}
        return bool(self.addresses & internal) or (
            not internal and node.metadata.name in (self.name, self.hostname)
        )


def container_access(nodes: Sequence[NodeObject]) -> dict[str, AccessMethod]:
    """The access method of each node that is a Docker container on this machine."""
    containers = sorted(_containers(), key=lambda each: each.name)
    methods = {}
    for node in nodes:
        name = node.metadata.name
        found = [each for each in containers if each.may_be(node)]
        if found:
            chosen = next((each for each in found if each.name == name), found[0])
            address = next((a.address for a in node.status.addresses if a.type == "InternalIP"), "")
            methods[name] = AccessMethod(node=name, uri=f"docker://{chosen.name}", address=address)
    return methods


def _containers() -> Iterator[Container]:
    ids = _docker("ps", "--quiet", "--no-trunc").split()
    if not ids:
        return
    for line in _docker("inspect", "--type=container", f"--format={TEMPLATE}", *ids).splitlines():
        name, hostname, *addresses = line.split() or [""]
        yield Container(name.removeprefix("/"), hostname, frozenset(addresses))


def _docker(*arguments: str) -> str:
    if not shutil.which("docker"):
        return ""
    try:
        finished = run_bounded(
            ["docker", *arguments],
            seconds=SECONDS,
            most_bytes=8 << 20,
            called_off=threading.Event(),
        )
    except (OSError, OutOfTimeError, TooMuchOutputError, CalledOffError):
        return ""
    return finished.stdout.decode("utf-8", "replace")
