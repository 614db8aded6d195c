"""How full the eBPF maps of Cilium are on one node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import NotApplicable, Ref
from wirecheck.node.cilium_services import CiliumServices
from wirecheck.node.seen import NodeSeen
from wirecheck.node.table_usage import TableUsage
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps
from wirecheck.text import plural

NOT_COUNTED = "it was recorded before all eBPF maps of Cilium were read"
SETTINGS: Mapping[str, str] = {
    "cilium_lb": "bpf-lb-map-max",
    "cilium_ct4_": "bpf-ct-global-tcp-max",
    "cilium_ct6_": "bpf-ct-global-tcp-max",
    "cilium_ct_any": "bpf-ct-global-any-max",
    "cilium_snat_": "bpf-nat-global-max",
    "cilium_policy_": "bpf-policy-map-max",
    "cilium_node_map": "bpf-node-map-max",
    "cilium_auth_map": "bpf-auth-map-max",
}
"""By the beginning of a map's name: the key of ConfigMap cilium-config that sets its size."""


@dataclass(frozen=True)
class MapUsage(TableUsage):
    """The entries of one map, and its `max_entries`."""

    name: str = ""
    why_incomplete: str = ""
    """Why it may have more entries than that; empty if all were counted."""

    @property
    def found(self) -> str:
        """`60,000 entries, 92 %`, `at least 60,000 entries, 92 %`."""
        least = "at least " if self.why_incomplete else ""
        return f"{least}{plural(self.entries, 'entry', 'entries')}, {self.use:.0f} %"

    @property
    def setting(self) -> str:
        """Where its size is configured; empty where Cilium has no setting."""
        return next((key for name, key in SETTINGS.items() if self.name.startswith(name)), "")


@dataclass(frozen=True)
class EbpfMapUsage:
    """The maps of one node that Cilium has pinned."""

    seen: NodeSeen
    cilium: CiliumServices

    @cached_property
    def document(self) -> EbpfMaps:
        """The maps. Raises NotApplicable without any, FactMissingError if they are not readable."""
        read = self.seen.required(self.seen.facts.ebpf, Fact.EBPF_MAPS, NOT_COUNTED)
        if not read.maps and not self.cilium.forwards:
            raise NotApplicable("no eBPF map of Cilium is pinned on the node")
        if not self.cilium.document.counted:
            raise NotApplicable(NOT_COUNTED)
        return read

    @property
    def maps(self) -> Iterator[MapUsage]:
        """Every map whose entries were read or counted."""
        for each in self.document.maps:
            if not each.problem and each.max_entries:
                why = "" if each.is_complete else _incomplete(each)
                part = self.seen.part(each.name)
                yield MapUsage(part, each.count, each.max_entries, each.name, why)

    @property
    def unread(self) -> Iterator[tuple[Ref, str]]:
        """What could not be counted, with the reason."""
        for each in self.document.maps:
            if each.problem:
                yield self.seen.part(each.name), f"{each.name}: {each.problem}"
        if number := self.document.not_counted:
            pins = plural(number, "further pin")
            yield self.seen.part("eBPF maps"), f"{pins} were not read within a limit of the visit"


def _incomplete(found: EbpfMap) -> str:
    return f"{found.name}: only {found.count:,} entries were counted before a limit of the visit"
