"""Examples of clients whose connections third-party rules may keep from being masqueraded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from msgspec import structs

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.clients import Clients, Intervals
from wirecheck.dataplane.rules.flows import Result
from wirecheck.dataplane.rules.masquerading import ByMark, Exemptions, LeavingPacket
from wirecheck.dataplane.rules.sources import Region, Regions
from wirecheck.dataplane.table import Client, Handling, Masquerade

USUAL = {4: "198.51.100.1", 6: "2001:db8::1"}
"""Represents clients outside the cluster, if rules do not name it: addresses for documentation."""
MOST_SOURCES = 8


@dataclass(frozen=True)
class Senders:
    """Clients of one kind that rules after routing may treat differently."""

    sources: tuple[IPAddress, ...]
    from_node: bool
    clients: Clients
    exemptions: Exemptions
    protocol: str

    @classmethod
    def of(cls, region: Region, regions: Regions, exemptions: Exemptions, protocol: str) -> Senders:
        """The examples of one region."""
        named = exemptions.sources(regions.family)
        usual = _in(region.spans, [address(USUAL[regions.family]), *_first(region, regions)])
        some = (*islice(usual, 1), *islice(_in(region.spans, named), MOST_SOURCES))
        return cls(
            tuple(dict.fromkeys(some)),
            region.client is Client.NODE,
            regions.clients,
            exemptions,
            protocol,
        )

    def sparing(
        self, mark: int, source: IPAddress, backend: Backend, by_mark: ByMark
    ) -> str | None:
        """The rule that keeps a connection from being masqueraded, although its mark says so."""
        if backend.address in self.clients.local_addresses or not by_mark(mark):
            return None
        way_out = self.clients.way_out
        device = way_out(backend.address) if way_out else ""
        packet = LeavingPacket(mark, source, backend, self.protocol, device, self.from_node)
        return self.exemptions.sparing(packet, by_mark)


def left_alone(
    handling: Handling, forwards: Iterable[Result], by_mark: ByMark, senders: Senders
) -> Handling:
    """The handling without what third-party rules keep from being masqueraded."""
    marks: dict[Backend, dict[int, None]] = {}
    hairpins: list[str] = []
    lost: set[Backend] = set()
    for each in forwards:
        if each.backend is None:
            continue
        marks.setdefault(each.backend, {})[each.flow.mark] = None
        own = dict(each.flow.own_marks).get(each.backend.address, each.flow.mark)
        itself = address(each.backend.address)
        if each.backend in handling.hairpin:
            rule = senders.sparing(own, itself, each.backend, by_mark)
            if rule is not None:
                hairpins.append(rule)
                lost.add(each.backend)
    answers: list[str | None] = []
    if handling.masquerade is Masquerade.ALWAYS:
        answers = [
            senders.sparing(mark, source, backend, by_mark)
            for backend, of in marks.items()
            for mark in of
            for source in senders.sources
        ]
    rules = [each for each in answers if each is not None]
    if not rules and not lost:
        return handling
    kind = handling.masquerade
    if rules:
        kind = Masquerade.NEVER if len(rules) == len(answers) else Masquerade.SOMETIMES
    return structs.replace(
        handling,
        masquerade=kind,
        hairpin=handling.hairpin - lost,
        deciding=tuple(dict.fromkeys([*rules, *hairpins])),
    )


def _in(spans: Intervals, addresses: Iterable[IPAddress]) -> Iterator[IPAddress]:
    for each in addresses:
        if any(low <= int(each) <= high for low, high in spans):
            yield each


def _first(region: Region, regions: Regions) -> Iterator[IPAddress]:
    """Addresses of the region: of a range the second one, as the first may be the network's."""
    kind = type(address(USUAL[regions.family]))
    for low, high in region.spans:
        yield kind(min(low + 1, high))
