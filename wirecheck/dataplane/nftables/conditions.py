"""The conditions of a rule of `nft -j`, as those of a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Set
from ipaddress import ip_address, summarize_address_range
from typing import Any, ClassVar

from msgspec import Struct

from wirecheck.addresses import canonical, network
from wirecheck.dataplane.nftables.keys import (
    MALFORMED,
    PROTOCOLS,
    UnknownError,
    elements_of,
    key_of,
    key_parts,
    reader_of,
)
from wirecheck.dataplane.nftables.text import expression_text
from wirecheck.dataplane.rules.steps import (
    IN,
    OUT,
    Action,
    MarkTest,
    SourceTest,
    Step,
    Test,
    own_address,
)
from wirecheck.dataplane.table import RuleText
from wirecheck.parse.nftables import Expression, NftSet

FULL = 0xFFFFFFFF
DEVICES = {"iifname": IN, "iif": IN, "oifname": OUT, "oif": OUT}
"""The kinds of tests on a packet's devices, by the key in `meta`."""


class Conditions(Struct):
    """Collects the conditions of one rule."""

    sets: Mapping[str, NftSet]
    never: bool = False
    first: bool = True
    later: bool | None = True
    protocol: str = ""
    host: str = ""
    port: int = 0
    tests: tuple[Test, ...] = ()
    sources: tuple[SourceTest, ...] = ()
    marks: tuple[MarkTest, ...] = ()
    recalls: tuple[str, int] | None = None
    by_destination: dict[tuple[str, str, int], list[str]] | None = None
    """Sources by destination, if a set contains both: then there is a step for each."""

    def steps(self, rule: RuleText, actions: tuple[Action, ...]) -> Iterator[Step]:
        """The step with these conditions."""
        if self.by_destination is None:
            yield self._step(rule, actions, (self.host, self.protocol, self.port), ())
            return
        for destination, ranges in self.by_destination.items():
            source = SourceTest("network", ",".join(ranges), negated=False)
            yield self._step(rule, actions, destination, (source,))

    def _step(
        self,
        rule: RuleText,
        actions: tuple[Action, ...],
        destination: tuple[str, str, int],
        further: tuple[SourceTest, ...],
    ) -> Step:
        sources = self.sources + further
        host, protocol, port = destination
        return Step(
            rule=rule,
            actions=actions,
            never=self.never,
            first=self.first,
            later=self.later,
            protocol=protocol,
            host=host,
            port=port,
            tests=self.tests,
            sources=sources,
            marks=self.marks,
            recalls=self.recalls,
            own=own_address(sources, actions) if not self.marks else "",
        )

    def add(self, inner: Mapping[str, Any]) -> None:
        """Add one match."""
        try:
            left, right, negated = inner["left"], inner["right"], inner["op"] == "!="
            if inner["op"] not in ("==", "!=", "in"):
                raise UnknownError(inner)
            ((kind, what),) = left.items()
            self.READERS[kind](self, what, right, negated)
        except MALFORMED:
            self.add_unrecognised({"match": inner})

    def add_unrecognised(self, expression: Expression) -> None:
        """Add an unrecognised condition, as text."""
        self.sources += (SourceTest("other", expression_text(expression), negated=False),)

    def matches_nothing(self) -> None:
        """No packet matches."""
        self.never, self.first, self.later = True, False, False

    def _payload(self, what: Mapping[str, Any], right: Any, negated: bool) -> None:
        field = what["field"]
        if field == "saddr":
            self._source(right, negated)
        elif field == "daddr":
            self._destination(right, negated)
        elif field == "dport":
            if what["protocol"] != "th":
                self.protocol = what["protocol"]
            self._dport(right, negated)
        else:
            raise UnknownError(what)

    def _source(self, right: Any, negated: bool) -> None:
        named = self.sets.get(str(right).removeprefix("@"))
        if isinstance(right, str) and right.startswith("@") and named and named.is_remembered:
            if negated:
                raise UnknownError(right)
            self.recalls = (named.name, named.timeout)
            return
        ranges = self._ranges(right)
        if ranges:
            self.sources += (SourceTest("network", ",".join(ranges), negated),)
        elif not negated:
            self.matches_nothing()

    def _destination(self, right: Any, negated: bool) -> None:
        texts = self._ranges(right)
        if len(texts) == 1 and texts[0].endswith(("/32", "/128")) and not negated:
            self.host = texts[0].partition("/")[0]
            return
        spans = [network(each) for each in texts]
        ends = [(int(each.network_address), int(each.broadcast_address)) for each in spans]
        self.tests += (
            lambda packet: any(low <= packet.number <= high for low, high in ends) is not negated,
        )

    def _ranges(self, right: Any) -> list[str]:
        """Addresses, prefixes, sets in the rule or by name, as ranges in canonical form."""
        is_set = isinstance(right, dict) and "set" in right
        if is_set or (isinstance(right, str) and right.startswith("@")):
            return [text for each in elements_of(right, self.sets) for text in self._ranges(each)]
        if isinstance(right, dict) and "range" in right:
            low, high = map(ip_address, right["range"])
            return [str(each) for each in summarize_address_range(low, high)]
        if isinstance(right, dict):
            prefix = right["prefix"]
            return [str(network(f"{prefix['addr']}/{prefix['len']}"))]
        return [f"{canonical(right)}/{128 if ':' in right else 32}"]

    def _dport(self, right: Any, negated: bool) -> None:
        if negated or not isinstance(right, int):
            raise UnknownError(right)
        self.port = right

    def _meta(self, what: Mapping[str, Any], right: Any, negated: bool) -> None:
        match what["key"]:
            case "l4proto":
                wanted = right["set"] if isinstance(right, dict) else [right]
                names = frozenset(PROTOCOLS.get(each, each) for each in wanted)
                if len(names) == 1 and not negated:
                    (self.protocol,) = names
                else:
                    self.tests += (lambda packet: (packet.protocol in names) is not negated,)
            case "mark":
                self.marks += (MarkTest(int(right), FULL, negated),)
            case key if key in DEVICES:
                self.of_device(key, right, negated)
            case _:
                raise UnknownError(what)

    def of_device(self, key: str, right: Any, negated: bool) -> None:
        """`iifname eth0`, or `eth*` for all that begin so: `eth+` in a step."""
        name = str(right)
        if isinstance(right, dict | list) or name.startswith("@"):
            # A set that is not known, or is too large to follow: no device has this name.
            raise UnknownError(right)
        name = f"{name[:-1]}+" if name.endswith("*") else name
        self.sources += (SourceTest(DEVICES[key], name, negated),)

    def _masked(self, what: Any, right: Any, negated: bool) -> None:
        left, mask = what
        if left != {"meta": {"key": "mark"}}:
            raise UnknownError(what)
        self.marks += (MarkTest(int(right), int(mask), negated),)

    def _connection(self, what: Mapping[str, Any], right: Any, negated: bool) -> None:
        self.of_connection(what, {right} if isinstance(right, str) else set(right), negated)

    def of_connection(self, what: Mapping[str, Any], states: Set[Any], negated: bool) -> None:
        """`ct state` and `ct status dnat`."""
        if what["key"] == "state":
            self.never |= ("new" in states) is negated
            self.first &= ("new" in states) is not negated
            is_later = ("established" in states) is not negated
        elif what["key"] == "status" and "dnat" in states:
            # Services are looked up before anything is translated.
            self.never |= not negated
            self.first &= not negated
            is_later = not negated
        else:
            raise UnknownError(what)
        if self.later is not None:
            self.later &= is_later

    def _fib(self, what: Mapping[str, Any], right: Any, negated: bool) -> None:
        if what["result"] != "type" or right != "local":
            raise UnknownError(what)
        if what["flags"] == ["daddr"]:
            self.tests += (lambda packet: packet.is_local is not negated,)
        elif what["flags"] == ["saddr"]:
            self.sources += (SourceTest("local", "", negated),)
        else:
            raise UnknownError(what)

    def _concat(self, what: Any, right: Any, negated: bool) -> None:
        """(daddr . l4proto . dport [. saddr]) in a set; the last by the ranges for the first."""
        parts = key_parts({"concat": what})
        elements = elements_of(right, self.sets)
        if parts[-1:] == ("saddr",) and not negated:
            self._source_by_destination(parts[:-1], elements)
            return
        if "saddr" in parts:
            raise UnknownError(what)
        known = frozenset(key_of(parts, each) for each in elements)
        read = reader_of(parts)
        self.tests += (lambda packet: (read(packet) in known) is not negated,)

    def _source_by_destination(self, parts: tuple[str, ...], elements: list[Any]) -> None:
        if parts != ("daddr", "l4proto", "dport") or self.host or self.port or self.protocol:
            raise UnknownError(parts)
        self.by_destination = {}
        for each in elements:
            *values, source = each["concat"]
            key = key_of(parts, {"concat": values})
            self.by_destination.setdefault(key, []).extend(self._ranges(source))

    READERS: ClassVar[Mapping[str, Callable[[Any, Any, Any, bool], None]]] = {
        "payload": _payload,
        "meta": _meta,
        "&": _masked,
        "ct": _connection,
        "fib": _fib,
        "concat": _concat,
    }
    """What reads a comparison, by the kind of its left side."""
