"""The virtual servers of one node, as it listed them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.node.seen import NodeSeen
from wirecheck.parse.ipvs import VirtualServer, parse_ip_vs
from wirecheck.parse.ipvsadm import parse_ipvsadm_save

IP_VS, SAVED = "/proc/net/ip_vs", "ipvsadm-save"
BY_MARK = ("FWM ", "-A -f ")
PAGE = 4096
"""Of a longer /proc/net/ip_vs the kernel can leave virtual servers out (ip_vs_info_seq_start)."""

Frontend = tuple[str, str, int]
"""Protocol, address and port."""


@dataclass(frozen=True)
class VirtualServers:
    """Those of the node's own netns."""

    seen: NodeSeen

    @cached_property
    def are_there(self) -> bool:
        """Whether the kernel has IPVS in use."""
        return bool(self._text.strip())

    @cached_property
    def by_mark(self) -> str:
        """The line of the first one for packets with a mark; empty without any."""
        return next((e.strip() for e in self._text.splitlines() if e.startswith(BY_MARK)), "")

    @cached_property
    def by_frontend(self) -> Mapping[Frontend, VirtualServer]:
        """All others. Raises ParseError if the listing is malformed."""
        servers = parse_ipvsadm_save(self._saved) if self._saved else parse_ip_vs(self._text)
        return {(each.protocol, each.address, each.port): each for each in servers}

    @property
    def may_lack_some(self) -> bool:
        """Whether the listing may not have all of them."""
        return not self._saved and len(self._text) > PAGE

    @cached_property
    def _text(self) -> str:
        return self._saved or self.seen.files.get(IP_VS, "")

    @cached_property
    def _saved(self) -> str:
        """The output of ipvsadm, which many nodes do not have."""
        record = self.seen.facts.commands.get(SAVED)
        return record.output if record is not None and record.is_whole else ""
