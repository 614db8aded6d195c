"""eBPF maps of Services that are recognised on one node, and that wirecheck cannot read."""

from __future__ import annotations

from dataclasses import dataclass

from wirecheck.catalogue.findings import SharedCauseError
from wirecheck.dataplane.ebpf.layouts import TRIED
from wirecheck.node.seen import NodeSeen
from wirecheck.snapshot.ebpf_maps import EbpfMap
from wirecheck.text import listed

SHOWN = 4


@dataclass(frozen=True)
class UnsupportedMaps:
    """The maps of Services that another plugin than Cilium has pinned on the node."""

    seen: NodeSeen

    def refuse(self, reason: object) -> None:
        """Raise SharedCauseError if there are any; `reason` says who forwards with them."""
        ebpf = self.seen.document.ebpf if self.seen.document else None
        if ebpf is None or not ebpf.unsupported:
            return
        maps = listed([_described(each) for each in ebpf.unsupported], SHOWN)
        raise SharedCauseError(
            f"{self.seen.name}: {reason}. Its eBPF maps of Services are recognised but not "
            f"supported: {maps}. This version of wirecheck reads the maps of {TRIED}, so it does "
            f"not know where connections to Services go on this node. {self._by_hand}"
        )

    @property
    def _by_hand(self) -> str:
        """How to see what the maps contain; empty if the plugin's agent is not known."""
        agent = next(filter(self.seen.cni.has_agent, self.seen.pods), None)
        if agent is None:
            return ""
        command = f"kubectl -n {agent.namespace} exec {agent.name} -c calico-node -- calico-node"
        return f"To see what they contain: `{command} -bpf nat dump`."


def _described(found: EbpfMap) -> str:
    """`cali_v4_nat_fe3 (keys of 16 bytes, values of 24 bytes, 52 entries)`."""
    if found.problem:
        return f"{found.name} ({found.problem})"
    sizes = f"keys of {found.key_size} bytes, values of {found.value_size} bytes"
    return f"{found.name} ({sizes}, {found.count:,} entries)"
