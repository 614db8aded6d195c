"""Cilium's programs on one node's cgroup, which translate connections at their sockets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.node.cilium_services import CiliumServices
from wirecheck.node.ebpf_map_usage import EbpfMapUsage
from wirecheck.node.seen import NodeSeen
from wirecheck.text import listed

NAMED = re.compile(r"(?:cil_)?sock(?P<family>[46])_")
NEEDED = {
    "connect": "TCP connections, and UDP sockets that connect,",
    "sendmsg": "UDP packets of sockets that do not connect",
    "recvmsg": "the source address of UDP answers",
}
"""The hooks without which a family is only half translated, with what each of them translates."""


@dataclass(frozen=True)
class MissingSocketProgram:
    """A hook of the cgroup without Cilium's program, beside others that have theirs."""

    ref: Ref
    expected: str
    found: str


@dataclass(frozen=True)
class CiliumSockets:
    """The programs of one node."""

    seen: NodeSeen
    cilium: CiliumServices
    usage: EbpfMapUsage

    @property
    def missing(self) -> Iterator[MissingSocketProgram]:
        """The hooks that lack their program.

        Raises NotApplicable where Cilium does not translate sockets, or none was read.
        """
        if not self.cilium.replaces_kube_proxy:
            raise NotApplicable("Cilium does not replace kube-proxy on this node")
        hooks = self.usage.document.sockets
        if hooks is None:
            raise NotApplicable("it was recorded before programs of cgroups were read")
        having = {hook for hook, names in hooks.items() if _families(names)}
        if not having:
            raise NotApplicable("no cgroup of the node that the visit sees has Cilium's programs")
        for family in self._families_in_use(hooks):
            for hook, what in NEEDED.items():
                name = f"{hook}{family}"
                if str(family) not in _families(hooks.get(name, ())):
                    yield MissingSocketProgram(
                        self.seen.part(f"cgroup {name}"),
                        f"a program of Cilium, as at {listed(sorted(having), 3)}",
                        f"none: {what} to Services are not translated",
                    )

    def _families_in_use(self, hooks: Mapping[str, Sequence[str]]) -> list[int]:
        """Those that Cilium forwards, and IPv6 only if it has a program for it."""
        used = {each for names in hooks.values() for each in _families(names)}
        return [each for each in sorted(self.cilium.families) if each == 4 or "6" in used]


def _families(names: Sequence[str]) -> set[str]:
    return {match["family"] for each in names if (match := NAMED.match(each))}
