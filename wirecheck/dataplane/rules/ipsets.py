"""Resolves matches on ipsets into conditions on the packet and on its source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from msgspec import structs

from wirecheck.addresses import canonical
from wirecheck.dataplane.rules.steps import Packet, SetTest, SourceTest, Step, own_address
from wirecheck.parse.ipset import Ipset
from wirecheck.parse.recent import Recent

Resolve = Callable[[Step], Iterable[Step]]


def resolver(sets: Mapping[str, Ipset], kept: Recent[Members]) -> Resolve:
    """A function that replaces a step with conditions on sets by steps without.

    `kept` has the sets of other nodes: equal ones are one object.
    """
    known = {n: _members_of(each, kept) for n, each in sets.items() if not each.excluded}

    def resolve(step: Step) -> Iterator[Step]:
        if not step.sets:
            yield step
            return
        first, *others = step.sets
        members = known.get(first.name)
        rest = structs.replace(step, sets=tuple(others))
        for each in members.steps(first, rest) if members else [not_understood(first, rest)]:
            yield from resolve(each)

    return resolve


def not_understood(test: SetTest, step: Step) -> Step:
    """The same step with an unrecognised condition instead of the set."""
    negation = "! " * test.negated
    text = f"-m set {negation}--match-set {test.name} {','.join(test.fields)}"
    sources = (*step.sources, SourceTest("set", text, negated=False))
    return structs.replace(step, sources=sources, own="")


class Members:
    """The entries of one set, by type; equal steps get the same objects."""

    def __init__(self, kind: str, entries: tuple[str, ...]) -> None:
        self.type = kind
        self._entries = entries
        self._made: dict[tuple[SetTest, Step], tuple[Step, ...]] = {}

    def steps(self, test: SetTest, step: Step) -> tuple[Step, ...]:
        """The steps that replace one with this test."""
        made = self._made.get((test, step))
        if made is None:
            made = self._made[test, step] = tuple(self._steps(test, step))
        return made

    def _steps(self, test: SetTest, step: Step) -> Iterator[Step]:
        expected = {
            ("hash:ip,port", ("dst", "dst")): self._by_destination,
            ("hash:ip,port", ("src", "dst")): self._from_itself,
            ("hash:ip", ("dst",)): self._by_address,
            ("bitmap:port", ("dst",)): self._by_port,
            ("hash:ip,port,net", ("dst", "dst", "src")): self._by_source,
            ("hash:ip,port,ip", ("dst", "dst", "src")): self._by_source,
        }
        make = expected.get((self.type, test.fields))
        if make is None:
            yield not_understood(test, step)
            return
        try:
            yield from make(test, step)
        except ValueError:
            yield not_understood(test, step)

    def _by_destination(self, test: SetTest, step: Step) -> Iterator[Step]:
        keys = frozenset(map(_destination, self._entries))

        def holds(packet: Packet) -> bool:
            return ((packet.address, packet.protocol, packet.port) in keys) is not test.negated

        yield structs.replace(step, tests=(*step.tests, holds))

    def _from_itself(self, test: SetTest, step: Step) -> Iterator[Step]:
        """The node connects to its own addresses from these addresses."""
        for each in self._by_destination(test, step):
            sources = (*step.sources, SourceTest("local", "", negated=False))
            yield structs.replace(each, sources=sources)

    def _by_address(self, test: SetTest, step: Step) -> Iterator[Step]:
        keys = frozenset(canonical(each) for each in self._entries)

        def holds(packet: Packet) -> bool:
            return (packet.address in keys) is not test.negated

        yield structs.replace(step, tests=(*step.tests, holds))

    def _by_port(self, test: SetTest, step: Step) -> Iterator[Step]:
        keys = frozenset(map(int, self._entries))

        def holds(packet: Packet) -> bool:
            return (packet.port in keys) is not test.negated

        yield structs.replace(step, tests=(*step.tests, holds))

    def _by_source(self, test: SetTest, step: Step) -> Iterator[Step]:
        """A step for each destination, with the sources that go with it."""
        if test.negated or step.host or step.port or step.protocol:
            raise ValueError(test)
        ranges: dict[tuple[str, str, int], list[str]] = {}
        for entry in self._entries:
            place, _, source = entry.rpartition(",")
            ranges.setdefault(_destination(place), []).append(source)
        for (host, protocol, port), of in ranges.items():
            sources = (*step.sources, SourceTest("network", ",".join(of), negated=False))
            yield structs.replace(
                step,
                host=host,
                protocol=protocol,
                port=port,
                sources=sources,
                own=own_address(sources, step.actions),
            )


def _members_of(each: Ipset, kept: Recent[Members]) -> Members:
    entries = tuple(sorted(each.entries))
    return kept.get((each.type, entries), lambda: Members(each.type, entries))


def _destination(entry: str) -> tuple[str, str, int]:
    """`10.96.0.1,tcp:443`."""
    host, _, place = entry.partition(",")
    protocol, _, port = place.partition(":")
    return canonical(host), protocol, int(port)
