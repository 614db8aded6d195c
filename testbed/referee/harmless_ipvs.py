"""Why an edit of virtual servers, ipsets or the rules beside them changes nothing for Services.

As with the rules of other modes, each reason can be checked by looking at the texts.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from testbed.referee.mutation import Edit, NodeFacts

_MARKING = ("EXTERNAL-IP", "EXTERNAL-IP-LOCAL", "LOAD-BALANCER", "LOAD-BALANCER-LOCAL")
_LONGEST_NAME = 31
_KINDS = {"-t": "tcp", "-u": "udp", "--sctp-service": "sctp"}


@dataclass(frozen=True)
class Around:
    """The texts beside the one that was changed."""

    servers: str
    sets: str

    @cached_property
    def backends(self) -> dict[str, list[str]]:
        """By `10.96.0.1,tcp:443` the real servers, as `ipvsadm --save` prints them."""
        found: dict[str, list[str]] = {}
        for line in self.servers.splitlines():
            command, kind, place, *words = line.split()
            of = found.setdefault(_entry(kind, place), [])
            if command == "-a":
                of.append(words[1])
        return found

    def leads_nowhere(self, entry: str) -> bool:
        """Whether an entry, with or without a source, is a virtual server without real servers."""
        return self.backends.get(",".join(entry.split(",")[:2])) == []

    @cached_property
    def served(self) -> frozenset[str]:
        """Every real server, as entries of sets are written."""
        return frozenset(
            _entry("", backend, protocol=place.partition(",")[2].partition(":")[0])
            for place, backends in self.backends.items()
            for backend in backends
        )

    @cached_property
    def entries(self) -> dict[str, frozenset[str]]:
        """By set."""
        found: dict[str, set[str]] = {}
        for line in self.sets.splitlines():
            command, name, entry, *_ = line.split()
            of = found.setdefault(name, set())
            if command == "add":
                of.add(entry)
        return {name: frozenset(of) for name, of in found.items()}


def _entry(kind: str, place: str, protocol: str = "") -> str:
    host, _, port = place.rpartition(":")
    return f"{host.strip('[]')},{protocol or _KINDS[kind]}:{port}"


def why_of_servers(edit: Edit, around: Around, facts: NodeFacts) -> str:
    """Why a change of virtual servers does no harm, or nothing."""
    _, kind, place, *_ = edit.before.split()
    entry = _entry(kind, place)
    if edit.kind == "weight" and len(around.backends[entry]) == 1:
        return "the only real server of its virtual server"
    if edit.kind in ("scheduler", "affinity") and not around.backends[entry]:
        return "its virtual server has no real server"
    if entry in facts.contested:
        return "an address that several Services claim"
    return ""


def why_of_sets(edit: Edit, around: Around, facts: NodeFacts) -> str:
    """Why a change of ipsets does no harm, or nothing."""
    return next(_of_entry(edit, around, facts), "")


def _of_entry(edit: Edit, around: Around, facts: NodeFacts) -> Iterator[str]:
    _, name, entry = (edit.before or edit.after).split()
    of = plain(name)
    if of == "IPVS-IPS":
        yield "ports of a ClusterIP that no Service has"
    if of == "HEALTH-CHECK-NODE-PORT" and edit.after:
        yield "it only opens one more port for health checks"
    if of == "LOOP-BACK":
        yield from _of_hairpin(entry, around, facts)
    if entry in facts.contested:
        yield "an address that several Services claim"
    # What is not served at all would be open: the node's own ports.
    is_clusters = of == "CLUSTER-IP" and (edit.before or entry in around.backends)
    is_source = of.startswith("LOAD-BALANCER-SOURCE")
    place = entry.rpartition(",")[0] if is_source else entry
    if (of in _MARKING or is_clusters or is_source) and not around.backends.get(place):
        yield "its virtual server has no real server"
    if of.startswith("LOAD-BALANCER-SOURCE"):
        limited = around.entries.get(f"{name.removesuffix(of)}LOAD-BALANCER-FW", ())
        if entry.rpartition(",")[0] not in limited:
            yield "it applies only to addresses with source ranges"
    if of.startswith("NODE-PORT"):
        yield from why_of_node_port(name, of, entry, around, facts)
    if of == "EXTERNAL-IP-LOCAL" and edit.before and not _is_in_others(name, of, entry, around):
        yield "no other rule rejects or marks packets to that destination"
    if edit.after and of in (*_MARKING, "CLUSTER-IP"):
        yield from _of_more(name, of, entry, around)
        if facts.masquerades_all and entry in around.entries.get(
            f"{name.removesuffix(of)}CLUSTER-IP", ()
        ):
            yield "its connections are masqueraded anyway"


def _of_hairpin(entry: str, around: Around, facts: NodeFacts) -> Iterator[str]:
    """One connection of an endpoint to itself."""
    if entry.partition(",")[0] not in facts.endpoints:
        yield "only a pod on another node that connects to itself would match"
    if entry.rpartition(",")[0] not in around.served:
        yield "no virtual server forwards to the endpoint"
    if facts.masquerades_all:
        yield "every connection to the Service is masqueraded anyway"


def _is_in_others(name: str, of: str, entry: str, around: Around) -> bool:
    """Whether an address and port, that a set lets pass, is in one that is asked after it.

    These are the addresses on kube-ipvs0, where other ports are refused, and node ports.
    """
    prefix = name.removesuffix(of)
    address, _, place = entry.partition(",")
    port = place.partition(":")[2]
    ports = {
        each.rpartition(":")[2]
        for other, entries in around.entries.items()
        if other.startswith(f"{prefix}NODE-PORT")
        for each in entries
    }
    return address in around.entries.get(f"{prefix}IPVS-IPS", ()) or port in ports


def plain(name: str) -> str:
    """The name of a set without what all of its family have in common."""
    return name.removeprefix("KUBE-").removeprefix("6-")


def why_of_node_port(
    name: str, of: str, entry: str, around: Around, facts: NodeFacts
) -> Iterator[str]:
    """Of an entry of one of the sets of node ports."""
    protocol = next(each for each in ("tcp", "udp", "sctp") if each.upper() in of)
    number = entry.rpartition(":")[2]
    served = [
        backends
        for place, backends in around.backends.items()
        if place.endswith(f",{protocol}:{number}")
        and place.partition(",")[0] in facts.addresses
        and (":" in place.partition(",")[0]) == name.startswith("KUBE-6-")
    ]
    plain = name.replace("-LOCAL", "")
    masked = {
        each for set_, of_set in around.entries.items() if set_.startswith(plain) for each in of_set
    }
    local = name.replace("NODE-PORT-", "NODE-PORT-LOCAL-")[:_LONGEST_NAME]
    if "-LOCAL" not in of and entry in around.entries.get(local, ()):
        yield "the set of policy Local takes precedence"
    if "-LOCAL" in of and entry not in masked:
        yield "it applies only to packets that are masqueraded anyway"
    if protocol != "sctp" and not any(served):
        yield "no virtual server at that node port has a real server"
    if protocol == "sctp" and not around.backends.get(entry):
        yield "its virtual server has no real server"
    if protocol == "sctp" and f",{protocol}:" not in entry:
        yield "it applies only to another protocol"
    passing = name[: -len(of)] + "EXTERNAL-IP-LOCAL"
    if protocol == "sctp" and entry in around.entries.get(passing, ()):
        yield "the set of policy Local takes precedence"


def _of_more(name: str, of: str, entry: str, around: Around) -> Iterator[str]:
    """One more entry, where another set says the same already."""
    prefix = name.removesuffix(of)
    others = around.entries
    is_local = any(entry in others.get(f"{prefix}{each}", ()) for each in ("LOAD-BALANCER-LOCAL",))
    if of == "LOAD-BALANCER-LOCAL" and entry not in others.get(f"{prefix}LOAD-BALANCER", ()):
        yield "it applies only to load balancer addresses"
    if of == "LOAD-BALANCER" and is_local:
        yield "the set of policy Local takes precedence"
    passed = [f"{prefix}{each}" for each in ("EXTERNAL-IP", "LOAD-BALANCER", "CLUSTER-IP")]
    if of == "EXTERNAL-IP-LOCAL" and any(entry in others.get(each, ()) for each in passed):
        yield "another set accepts it as well"
    marked = [f"{prefix}{each}" for each in ("EXTERNAL-IP", "LOAD-BALANCER")]
    local = f"{prefix}NODE-PORT-LOCAL-SCTP-HASH"[:_LONGEST_NAME]
    if of == "EXTERNAL-IP-LOCAL" and entry in others.get(local, ()):
        yield "the set of policy Local takes precedence"
    if of == "CLUSTER-IP" and entry not in others.get(local, ()):
        marked.append(f"{prefix}NODE-PORT-SCTP-HASH")
    if of in ("EXTERNAL-IP", "LOAD-BALANCER", "CLUSTER-IP", "EXTERNAL-IP-LOCAL") and any(
        entry in others.get(each, ()) for each in marked
    ):
        yield "its connections are masqueraded anyway"
