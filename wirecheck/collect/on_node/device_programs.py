"""Lists the programs and filters attached to interfaces: tc, tcx, netkit and XDP, and netem."""

import ctypes
import os
import struct
from typing import Any, Dict, Iterator, List

from wirecheck.collect.on_node import bpf_calls
from wirecheck.collect.on_node.netlink import Netlink, attribute, attributes, number, text
from wirecheck.collect.on_node.rtnetlink import EXT_MASK, GETLINK, LINK, SKIP_STATS
from wirecheck.collect.on_node.visit_state import VisitState

JsonObject = Dict[str, Any]

GETQDISC, GETTFILTER = 38, 46
TC = struct.Struct("=BxxxiIII")
KIND, OPTIONS, STATISTICS, QUEUE = 1, 2, 7, 3
PARENTS = {
    "clsact": (("tc ingress", 0xFFFFFFF2), ("tc egress", 0xFFFFFFF3)),
    "ingress": (("tc ingress", 0xFFFF0000),),
}
BPF_NAME, BPF_ID = 7, 11
ACTIONS = {"matchall": 2, "u32": 7, "flower": 3}
"""The attribute with the actions of a filter, by its kind."""
GACT, GACT_PARAMETERS, SHOT = "gact", 2, 2
XDP = 43
XDP_IDS = (4, 5, 6, 7)

GET_BY_ID, GET_INFO, QUERY = 13, 15, 16
ATTACHED = (
    (46, "tcx ingress"),
    (47, "tcx egress"),
    (54, "netkit primary"),
    (55, "netkit peer"),
)
MOST_IDS = 64
NAME_OFFSET, NAME_SIZE = 64, 16  # in struct bpf_prog_info
MOST = 2000

_names: Dict[int, str] = {}


def read_all(visit: VisitState) -> None:
    """Add `programs` to the node's own netns and to those of pods."""
    wanted = {visit.namespaces.host, *visit.netns.values()}
    for record in visit.document.get("namespaces", ()):
        inode = record["inode"]
        if inode in wanted and inode in visit.namespaces.descriptors and "links" in record:
            with visit.namespaces.inside(inode):
                record["programs"] = list(_programs(record["links"]))[:MOST]


def _programs(links: List[JsonObject]) -> Iterator[JsonObject]:
    netlink = Netlink()
    try:
        for part in (_filters(netlink), _xdp(netlink), _attached(links)):
            for found, _ in zip(part, range(MOST)):  # noqa: B905 - `strict` is newer than 3.6
                yield found
    finally:
        netlink.close()


def _filters(netlink: Netlink) -> Iterator[JsonObject]:
    for payload in netlink.dump(GETQDISC, TC.pack(0, 0, 0, 0, 0)):
        index = TC.unpack_from(payload)[1]
        found = attributes(payload, TC.size)
        kind = text(found.get(KIND, b""))
        queue = attributes(found.get(STATISTICS, b"")).get(QUEUE, b"")
        record = {"index": index, "drops": number(queue[8:12])}
        if kind == "netem":
            yield dict(record, hook="qdisc", kind=kind)
        for hook, parent in PARENTS.get(kind, ()):
            seen = []
            for answer in netlink.dump(GETTFILTER, TC.pack(0, index, 0, parent, 0)):
                each = _filter(attributes(answer, TC.size))
                if each and each not in seen:
                    seen.append(each)
                    yield dict(record, hook=hook, **each)


def _filter(found: Dict[int, bytes]) -> JsonObject:
    """One filter; the kernel also lists each chain of filters without options."""
    if OPTIONS not in found:
        return {}
    kind, options = text(found.get(KIND, b"")), attributes(found[OPTIONS])
    if kind == "bpf":
        return {
            "kind": kind,
            "name": text(options.get(BPF_NAME, b"")),
            "id": number(options.get(BPF_ID, b"")),
        }
    actions = attributes(options.get(ACTIONS.get(kind, 0), b"")).values()
    return {"kind": kind, "name": " ".join(map(_action, actions))}


def _action(data: bytes) -> str:
    found = attributes(data)
    kind = text(found.get(KIND, b""))
    if kind == GACT:
        parameters = attributes(found.get(OPTIONS, b"")).get(GACT_PARAMETERS, b"")
        return "drop" if number(parameters[8:12]) == SHOT else "pass"
    return kind


def _xdp(netlink: Netlink) -> Iterator[JsonObject]:
    request = LINK.pack(0, 0, 0, 0, 0) + attribute(EXT_MASK, struct.pack("=I", SKIP_STATS))
    for payload in netlink.dump(GETLINK, request):
        found = attributes(attributes(payload, LINK.size).get(XDP, b""))
        for each in sorted({number(found[key]) for key in XDP_IDS if key in found} - {0}):
            index = LINK.unpack_from(payload)[2]
            yield {"index": index, "hook": "xdp", "kind": "bpf", "name": name_of(each), "id": each}


def _attached(links: List[JsonObject]) -> Iterator[JsonObject]:
    """Programs without a filter: of tcx (Linux 6.6) and netkit (6.7)."""
    for kind, hook in ATTACHED:
        for link in links:
            if hook.startswith("netkit") and link.get("kind") != "netkit":
                continue
            identities = query(link["index"], kind)
            if identities is None:
                break  # the kernel does not know this kind
            for each in identities:
                yield {
                    "index": link["index"],
                    "hook": hook,
                    "kind": "bpf",
                    "name": name_of(each),
                    "id": each,
                }


def query(target: int, kind: int) -> Any:
    """The ids of the programs that are attached in one way; None if the kernel refuses.

    `target` is the index of a device, or the descriptor of a cgroup.
    """
    identities = (ctypes.c_uint32 * MOST_IDS)()
    head = struct.pack("=IIIIQI", target, kind, 0, 0, ctypes.addressof(identities), MOST_IDS)
    attr = ctypes.create_string_buffer(head, 64)
    if bpf_calls.call(QUERY, attr) < 0:
        return None
    return identities[: min(struct.unpack_from("=I", attr.raw, 24)[0], MOST_IDS)]


def name_of(identity: int) -> str:
    """The program's name, at most 15 characters; empty if it cannot be read."""
    if identity not in _names:
        _names[identity] = ""
        descriptor = bpf_calls.call(
            GET_BY_ID, ctypes.create_string_buffer(struct.pack("=I", identity), 16)
        )
        if descriptor >= 0:
            info = ctypes.create_string_buffer(256)
            head = struct.pack("=IIQ", descriptor, len(info), ctypes.addressof(info))
            if bpf_calls.call(GET_INFO, ctypes.create_string_buffer(head, 16)) == 0:
                _names[identity] = text(info.raw[NAME_OFFSET : NAME_OFFSET + NAME_SIZE] + b"\0")
            os.close(descriptor)
    return _names[identity]
