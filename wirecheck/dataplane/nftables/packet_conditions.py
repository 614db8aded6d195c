"""The conditions of rules of any program, as those of steps.

A rule may stand for several steps: `iifname { eth0, eth1 }` and concatenations in sets are one
step for each element, because a packet matches at most one of them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address, summarize_address_range
from typing import Any, ClassVar

from wirecheck.addresses import IPNetwork, network
from wirecheck.dataplane.clients import Intervals, intervals
from wirecheck.dataplane.nftables.conditions import DEVICES, FULL, Conditions
from wirecheck.dataplane.nftables.keys import PROTOCOLS, UnknownError
from wirecheck.dataplane.nftables.text import expression_text
from wirecheck.dataplane.rules.source_ports import matches_clients
from wirecheck.dataplane.rules.steps import MarkTest, SourceTest, Test
from wirecheck.parse.nftables import NftSet

Match = dict[str, Any]
"""One comparison: `op`, `left`, `right`."""

MOST_ELEMENTS = 2_000
"""Elements of a set that are followed; block lists have more, and count as unknown."""
MOST_STEPS = 512
"""Steps that one rule may stand for."""

FAMILIES = {"ip": 4, "ip6": 6, "ipv4": 4, "ipv6": 6}
TRANSPORT = ("tcp", "udp", "sctp", "dccp", "udplite", "th")
OF_TYPES = ("icmp", "icmpv6", "igmp", "esp", "ah", "comp")
NAMES = {"icmpv6": "ipv6-icmp"}
"""Protocols that `meta l4proto` and iptables name in another way."""
SYN = frozenset({"syn"})
"""The flags of the first packet of a connection."""


def alternatives(match: Match, sets: Mapping[str, NftSet]) -> list[list[Match]]:
    """Return the comparisons that a match stands for: one of these lists has to hold."""
    left, right = match["left"], match["right"]
    (kind,) = left
    is_device = kind == "meta" and left[kind].get("key") in DEVICES
    if match["op"] == "!=" and is_device:
        return [[{**match, "right": each} for each in values_of(right, sets)]]
    if match["op"] == "!=" or not (is_device or kind == "concat"):
        return [[match]]
    found = [equal(left, each) for each in values_of(right, sets)]
    if len(found) > MOST_STEPS:
        raise UnknownError(match)
    return found


def equal(left: Mapping[str, Any], value: Any) -> list[Match]:
    """Return the comparisons of a key, which may be a concatenation, with one element."""
    keys = left.get("concat", [left])
    values = value["concat"] if len(keys) > 1 else [value]
    if len(keys) != len(values):
        raise UnknownError(value)
    return [
        {"op": "==", "left": key, "right": each}
        for key, each in zip(keys, values, strict=True)
        if each != "*"
    ]


def values_of(right: Any, sets: Mapping[str, NftSet]) -> list[Any]:
    """Return what a key is compared with, one by one. Raises UnknownError for unknown sets."""
    if isinstance(right, str) and right.startswith("@"):
        found = sets.get(right[1:])
        if found is None or found.is_remembered or len(found.elem) > MOST_ELEMENTS:
            raise UnknownError(right)
        return list(found.elem)
    if isinstance(right, dict) and "set" in right:
        values = right["set"] if isinstance(right["set"], list) else [right["set"]]
        if len(values) > MOST_ELEMENTS:
            raise UnknownError(right)
        return [_plain(each) for each in values]
    return list(right) if isinstance(right, list) else [right]


def _plain(element: Any) -> Any:
    return element["elem"]["val"] if isinstance(element, dict) and "elem" in element else element


class PacketConditions(Conditions):
    """Collects the conditions of one rule, for packets of one family."""

    family: int = 4
    restores_mark: bool = False
    saves_mark: bool = False

    def only_first(self, holds: bool) -> None:
        """First packets match or not; for later ones it is not known."""
        self.never |= not holds
        self.first &= holds
        self.later = None

    def about(self, protocol: str) -> None:
        """Only packets of a transport protocol match."""
        if self.protocol and self.protocol != protocol:
            self.matches_nothing()
        self.protocol = protocol

    def of_packet(self, text: str, negated: bool = False) -> None:
        """A condition that some packets of a client match and others not."""
        self.sources += (SourceTest("packet", text, negated),)

    def test(self, holds: Test, negated: bool) -> None:
        """A condition on the destination."""
        self.tests += ((lambda packet: not holds(packet)) if negated else holds,)

    def _field(self, what: Mapping[str, Any], right: Any, negated: bool) -> None:
        protocol, field = what["protocol"], what["field"]
        if protocol in FAMILIES:
            self._of_family(FAMILIES[protocol], field, what, right, negated)
        elif protocol in TRANSPORT:
            if protocol != "th":
                self.about(protocol)
            self._of_transport(field, what, right, negated)
        elif protocol in OF_TYPES:
            self.about(NAMES.get(protocol, protocol))
            self.of_packet(f"{protocol} {field} {self._named(right)}", negated)
        elif (protocol, field) == ("ether", "type"):
            self._families(right, negated)
        else:
            self.of_packet(expression_text({"payload": what}), negated)

    def _named(self, right: Any) -> str:
        """The types with commas between them; a set that is not followed has its name only."""
        try:
            return ",".join(str(each) for each in values_of(right, self.sets))
        except UnknownError:
            return str(right)

    def _of_family(
        self, family: int, field: str, what: Mapping[str, Any], right: Any, negated: bool
    ) -> None:
        if family != self.family:
            self.matches_nothing()
        elif field == "saddr":
            self._from(right, negated)
        elif field == "daddr":
            self._to(right, negated)
        elif field in ("protocol", "nexthdr"):
            self._protocols(right, negated)
        else:
            self.of_packet(expression_text({"payload": what}), negated)

    def _of_transport(self, field: str, what: Mapping[str, Any], right: Any, negated: bool) -> None:
        if field == "dport":
            self._ports(right, negated)
        elif field == "sport":
            self._source_ports(what, right, negated)
        elif field == "flags":
            self._flags(None, right, negated)
        else:
            self.of_packet(expression_text({"payload": what}), negated)

    def _from(self, right: Any, negated: bool) -> None:
        try:
            ranges = [text for each in values_of(right, self.sets) for text in _prefixes(each)]
        except UnknownError:
            self.sources += (SourceTest("set", f"ip saddr {right}", negated),)
            return
        if ranges:
            self.sources += (SourceTest("network", ",".join(ranges), negated),)
        elif not negated:
            self.matches_nothing()

    def _to(self, right: Any, negated: bool) -> None:
        texts = [text for each in values_of(right, self.sets) for text in _prefixes(each)]
        is_one = len(texts) == 1 and texts[0].endswith(("/32", "/128")) and not negated
        if is_one and not self.host:
            self.host = texts[0].partition("/")[0]
        else:
            spans = intervals(map(network, texts))
            self.test(lambda packet: _contains(spans, packet.number), negated)

    def _ports(self, right: Any, negated: bool) -> None:
        spans = [_span(each) for each in values_of(right, self.sets)]
        if len(spans) == 1 and spans[0][0] == spans[0][1] and not (negated or self.port):
            self.port = spans[0][0]
        else:
            self.test(lambda packet: any(a <= packet.port <= b for a, b in spans), negated)

    def _source_ports(self, what: Mapping[str, Any], right: Any, negated: bool) -> None:
        """`tcp sport 53`: clients connect from unprivileged ports."""
        try:
            holds = matches_clients(map(_span, values_of(right, self.sets)))
        except (UnknownError, ValueError, TypeError):
            holds = None
        if holds is None:
            self.of_packet(expression_text({"payload": what}), negated)
        else:
            self.only_first(holds is not negated)

    def _protocols(self, right: Any, negated: bool) -> None:
        names = [str(PROTOCOLS.get(each, each)) for each in values_of(right, self.sets)]
        if len(names) == 1 and not negated:
            self.about(*names)
        else:
            self.test(lambda packet: packet.protocol in names, negated)

    def _families(self, right: Any, negated: bool) -> None:
        known = [FAMILIES[each] for each in values_of(right, self.sets) if each in FAMILIES]
        if (self.family in known) is negated:
            self.matches_nothing()

    def _flags(self, mask: Any, right: Any, negated: bool) -> None:
        """`tcp flags syn`, `tcp flags & (fin|syn|rst|ack) == syn`."""
        wanted = frozenset(map(str, values_of(right, {})))
        if mask is None:
            self.only_first(bool(SYN & wanted) is not negated)
        else:
            of_mask = frozenset(map(str, mask if isinstance(mask, list) else [mask]))
            self.only_first((SYN & of_mask == wanted) is not negated)

    def _meta(self, what: Mapping[str, Any], right: Any, negated: bool) -> None:
        key = what["key"]
        if key == "l4proto":
            self._protocols(right, negated)
        elif key in ("nfproto", "protocol"):
            self._families(right, negated)
        elif key == "mark":
            self.marks += (MarkTest(int(right), FULL, negated),)
        elif key in DEVICES:
            self.of_device(key, right, negated)
        elif key in ("skuid", "skgid"):
            self._owner(right, negated)
        elif key == "pkttype":
            to_host = bool({"host", "unicast"} & set(values_of(right, self.sets)))
            self.only_first(to_host is not negated)
        else:
            raise UnknownError(what)

    def _owner(self, right: Any, negated: bool) -> None:
        """The owner of a socket: the node's own programs run as root, and nobody else has one."""
        is_root = bool({0, "root"} & set(values_of(right, self.sets)))
        if is_root is negated:
            self.only_first(holds=False)
        else:
            self.sources += (SourceTest("local", "", False),)

    def _masked(self, what: Any, right: Any, negated: bool) -> None:
        left, mask = what
        if left == {"meta": {"key": "mark"}}:
            self.marks += (MarkTest(int(right), int(mask), negated),)
        elif left == {"ct": {"key": "mark"}}:
            self.only_first((int(right) == 0) is not negated)
        elif left == {"payload": {"protocol": "tcp", "field": "flags"}}:
            self.about("tcp")
            self._flags(mask, right, negated)
        else:
            raise UnknownError(what)

    def _connection(self, what: Mapping[str, Any], right: Any, negated: bool) -> None:
        """A first packet has no mark, and none of these states but `new`."""
        key, values = what["key"], set(values_of(right, self.sets))
        if key == "status" and "dnat" not in values:
            self.only_first(negated)
        elif key == "direction":
            self.only_first(("original" in values) is not negated)
        elif key == "mark":
            self.only_first((0 in values) is not negated)
        else:
            self.of_connection(what, values, negated)

    def _address_type(self, what: Mapping[str, Any], right: Any, negated: bool) -> None:
        flags = what["flags"] if isinstance(what["flags"], list) else [what["flags"]]
        if what["result"] != "type":
            # `fib saddr . iif oif missing`: as rp_filter, no list of sources.
            self.of_packet("the reverse path", negated)
            return
        types = set(values_of(right, self.sets))
        if flags == ["daddr"]:
            local, other = "local" in types, "unicast" in types
            self.test(lambda packet: local if packet.is_local else other, negated)
        elif flags == ["saddr"] and types == {"local"}:
            self.sources += (SourceTest("local", "", negated),)
        else:
            raise UnknownError(what)

    READERS: ClassVar[Mapping[str, Callable[[Any, Any, Any, bool], None]]] = {
        "payload": _field,
        "meta": _meta,
        "&": _masked,
        "ct": _connection,
        "fib": _address_type,
    }


def _prefixes(value: Any) -> Iterator[str]:
    """An address, a prefix or a range, as prefixes in canonical form."""
    if isinstance(value, dict) and "range" in value:
        low, high = map(ip_address, value["range"])
        found: Iterable[IPNetwork] = summarize_address_range(low, high)
        yield from map(str, found)
    elif isinstance(value, dict):
        prefix = value["prefix"]
        yield str(network(f"{prefix['addr']}/{prefix['len']}"))
    else:
        yield str(network(str(value)))


def _span(value: Any) -> tuple[int, int]:
    if isinstance(value, dict):
        low, high = value["range"]
        return int(low), int(high)
    return int(value), int(value)


def _contains(spans: Intervals, number: int) -> bool:
    at = bisect_right(spans, (number, 1 << 129)) - 1
    return at >= 0 and spans[at][0] <= number <= spans[at][1]
