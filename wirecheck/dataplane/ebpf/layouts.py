"""What keys and values of Cilium's maps mean, by name, key size and value size.

Cilium's maps carry no type information (BTF). The suffix of a name is the version of its layout:
a change of layout or meaning changes the name. All of these were read on real nodes of Cilium 1.20
(bpf/lib/common.h, pkg/loadbalancer/maps/types.go).

Ports and the ids of reverse NAT entries are in network byte order, other numbers in the node's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from struct import Struct
from typing import NamedTuple

from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.ebpf_maps import EbpfMap


class Subject(StrEnum):
    """What a map is about."""

    SERVICES = "services"
    BACKENDS = "backends"
    REVERSE_NAT = "reverse_nat"
    SOURCE_RANGES = "source_range"
    AFFINITY = "affinity_match"
    IPCACHE = "ipcache"
    ENDPOINTS = "lxc"
    POLICY = "policy"


NAMES = re.compile(
    r"cilium_lb(?P<family>[46]?)_"
    r"(?P<subject>services|backends|reverse_nat|source_range|affinity_match)(_v\d+)?"
)
"""The maps that decide where connections to Services go, of any version."""
OF_ADDRESSES = re.compile(r"cilium_(?P<subject>ipcache|lxc)(?P<family>)(_v\d+)?")
"""The maps of who has an address: any pod or node, and the pods of the node itself."""
OF_ENDPOINT = re.compile(r"(?P<name>cilium_policy(_v\d+)?)_(?P<number>\d{1,5})", re.ASCII)
"""The map of what the policies of one endpoint allow, of any version."""


class Layout(NamedTuple):
    """One version of one map."""

    subject: Subject
    family: int
    """4 or 6; 0 for a map of both."""
    fields: str
    """Those of the key, then those of the value, in the notation of the module struct."""
    parts: str = ""
    """The same, cut only at what another node has another number for; see `contents`."""

    def entries(self, byte_order: str) -> Struct:
        """The format of one entry on a node with this byte order."""
        return Struct(("<" if byte_order == "little" else ">") + self.fields)


Key = tuple[str, int, int]
"""The name of a map, the size of its keys and that of its values."""

LAYOUTS: Mapping[Key, Layout] = {
    # address, port, slot (0 is the frontend), protocol, scope;
    # backend or seconds of affinity, backends, reverse NAT id, flags, more flags, backends left out
    ("cilium_lb4_services_v2", 12, 12): Layout(
        Subject.SERVICES, 4, "4sHHBB2xIHHBBH", "6sH4x4s2s2s4s"
    ),
    ("cilium_lb6_services_v2", 24, 12): Layout(
        Subject.SERVICES, 6, "16sHHBB2xIHHBBH", "18sH4x4s2s2s4s"
    ),
    # id; address, port, protocol, state, cluster
    ("cilium_lb4_backends_v3", 4, 12): Layout(Subject.BACKENDS, 4, "I4sHBBH2x", "4s12s"),
    ("cilium_lb6_backends_v3", 4, 24): Layout(Subject.BACKENDS, 6, "I16sHBBH2x", "4s24s"),
    # id; address, port
    ("cilium_lb4_reverse_nat", 2, 6): Layout(Subject.REVERSE_NAT, 4, "H4sH", "2s6s"),
    ("cilium_lb6_reverse_nat", 2, 18): Layout(Subject.REVERSE_NAT, 6, "H16sH", "2s18s"),
    # prefix length with the 32 bits of the id and its padding, reverse NAT id, address; nothing
    ("cilium_lb4_source_range", 12, 1): Layout(Subject.SOURCE_RANGES, 4, "IH2x4sx"),
    ("cilium_lb6_source_range", 24, 1): Layout(Subject.SOURCE_RANGES, 6, "IH2x16sx"),
    # backend, reverse NAT id; nothing
    ("cilium_lb_affinity_match", 8, 1): Layout(Subject.AFFINITY, 0, "IH2xx"),
}
"""Of the load balancer's maps."""

ADDRESS_LAYOUTS: Mapping[Key, Layout] = {
    # prefix length with the 32 bits before the address, cluster, family, address;
    # identity, tunnel endpoint, key of encryption, flags
    ("cilium_ipcache_v2", 24, 24): Layout(Subject.IPCACHE, 0, "IHxB16sI16s2xBB"),
    # address, family; index of the device, number of the endpoint, flags, MACs, identity
    ("cilium_lxc", 20, 48): Layout(Subject.ENDPOINTS, 0, "16sB3xI2xHI4x16xI12x"),
}

POLICY_LAYOUTS: Mapping[Key, Layout] = {
    # prefix length with the 40 bits before the protocol, identity, direction, protocol, port;
    # port of the proxy, flags, authentication, precedence, cookie of the log
    ("cilium_policy_v3", 12, 12): Layout(Subject.POLICY, 0, "IIBBHHBBI4x"),
}
"""Of the maps of endpoints, by the part of the name before the endpoint's number."""

TRIED = "Cilium 1.20"


def layout_of(found: EbpfMap) -> Layout:
    """The layout of a map. Raises ParseError for one that is not known, or was not read."""
    if found.problem:
        raise ParseError(f"eBPF map {found.name}: {found.problem}")
    own = OF_ENDPOINT.fullmatch(found.name)
    key = (own["name"] if own else found.name, found.key_size, found.value_size)
    layout = LAYOUTS.get(key) or ADDRESS_LAYOUTS.get(key) or POLICY_LAYOUTS.get(key)
    if layout is None:
        raise ParseError(
            f"eBPF map {found.name} with keys of {found.key_size} bytes and values of "
            f"{found.value_size} bytes has an unknown layout: this wirecheck knows those of {TRIED}"
        )
    return layout
