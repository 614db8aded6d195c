"""Lists the packet filter rules inside pods that have any: their packets meet these as well.

Most pods have none. A service mesh gives some to each of its pods, so pods whose probes got no
response come first, and time, pods and bytes are limited.
"""

import time
from typing import Any, Dict, List, Tuple

from wirecheck.collect.on_node import commands
from wirecheck.collect.on_node.namespaces import enter
from wirecheck.collect.on_node.nf_tables import IPTABLES
from wirecheck.collect.on_node.nft_tables import of_links, others
from wirecheck.collect.on_node.visit_state import VisitState

JsonObject = Dict[str, Any]

MOST_PODS = 24
SECONDS = 4.0
"""For all pods together."""
LEGACY = ("iptables-legacy-save", "ip6tables-legacy-save")
OF_NFT = (("ip", "iptables-nft-save"), ("ip6", "ip6tables-nft-save"))


def read_all(visit: VisitState) -> None:
    """Add `listings` to the netns of pods with tables."""
    end = time.monotonic() + min(SECONDS, visit.deadline.left())
    silent = _silent(visit)
    host = visit.namespaces.host
    records = [
        each
        for each in visit.document.get("namespaces", ())
        if each.get("filters")
        and each["inode"] != host
        and each["inode"] in visit.namespaces.descriptors
    ]
    records.sort(key=lambda each: each["inode"] not in silent)
    for record in records[:MOST_PODS]:
        if time.monotonic() < end:
            record["listings"] = _listings(visit, record, end)


def _silent(visit: VisitState) -> List[int]:
    """The netns from which a probe got no response."""
    lost = [
        each["inode"]
        for each in visit.document.get("probes", ())
        if each["tries"] and "answer" not in each["tries"][-1]
    ]
    failed = (e["inode"] for e in visit.document.get("contacts", ()) if not e.get("made"))
    return lost + list(failed)


def _listings(visit: VisitState, record: JsonObject, end: float) -> Dict[str, JsonObject]:
    """The rules of the tables that are there; nothing is asked that would make one."""
    names = record["filters"]
    descriptor = visit.namespaces.descriptors[record["inode"]]
    has_legacy = any(" " not in each for each in names)
    wanted: List[Tuple[str, Tuple[str, ...]]] = [(each, ()) for each in LEGACY if has_legacy]
    for family, identity in OF_NFT:
        if any("%s %s" % (family, each) in names for each in IPTABLES):
            wanted.append((identity, ()))
    tables = "".join("table %s\n" % each for each in names if " " in each)
    wanted += [(commands.OTHER, table) for table in others(tables) + of_links(tables)]
    found = {}
    for identity, table in wanted:
        found[" ".join((identity, *table))] = commands.run(
            identity,
            end - time.monotonic(),
            lambda: enter(descriptor),
            table=table,
            most=commands.MOST_POD_BYTES,
        )
    return found
