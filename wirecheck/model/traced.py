"""Packets that were followed, each for all that are alike, and the lines at which they die."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace

from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import NotApplicable, Ref, Unanswered
from wirecheck.model.made_connections import UNREAD
from wirecheck.paths.answer import STAGE as SOCKET
from wirecheck.paths.answer import UNHEARD, Path
from wirecheck.paths.ends import Destination, trace_arguments
from wirecheck.paths.journey import Result
from wirecheck.paths.place import Place, World
from wirecheck.paths.sentence import end_of, lines_of
from wirecheck.text import plural, shortened

LONGEST = 300
REFUSED = "no process listens where the packet arrives, so its answer is not followed"
REWRITTEN = "all pods send frames to MACs that no device has: a program may rewrite them"
SELECTED = "a policy selects one of the two pods, and is not followed"
WORST_FIRST = (Result.DIES, Result.UNDECIDED, Result.REACHES)


@dataclass(frozen=True)
class Traced:
    """The path of one packet, and how many pairs of ends it stands for."""

    node: str
    """Where it is sent."""
    source: Pod | None
    """None for the node itself."""
    to: Destination
    count: int
    path: Path | None = None
    """The worst branch; None if it was not followed."""
    unknown: str = ""
    """Why it cannot be decided; empty if it is."""
    concerns: tuple[Ref, ...] = ()

    @property
    def dies(self) -> bool:
        return self.path is not None and not self.unknown and self.path.result is not Result.REACHES

    @property
    def line(self) -> Hashable:
        """What decides: equal for packets that die of one cause."""
        hop = self.path.decisive if self.path else None
        if hop is None or self.path is None:
            return None
        return (hop.node, hop.netns, hop.stage, lines_of(self.path) or hop.text)


@dataclass(frozen=True)
class Lost:
    """Packets that die at one line."""

    packets: Sequence[Traced]

    @property
    def _first(self) -> Traced:
        return self.packets[0]

    @property
    def part(self) -> str:
        """`from shop/web-1 to Pod shop/db-0`."""
        pod = self._first.source
        source = f"{pod.namespace}/{pod.name}" if pod else "the node"
        return f"from {source} to {self._first.to.label}"

    @property
    def found(self) -> str:
        """Where the packet dies, and how many others share that."""
        path, others = self._first.path, sum(each.count for each in self.packets) - 1
        share = f" (with {path.share:.0%} of connections)" if path and path.share < 1 else ""
        shared = f"; up to {plural(others, 'other pair')} of ends share this" if others else ""
        return f"{end_of(path) if path else ''}{share}{shared}"

    @property
    def sent(self) -> Unanswered:
        """The packet, so that the report can trace it on."""
        to, pod = self._first.to, self._first.source
        return Unanswered(str(to.address), to.port, to.protocol, pod.ref if pod else None)

    @property
    def trace(self) -> str:
        """The arguments of `wirecheck trace` for it."""
        sent = self.sent
        return trace_arguments(
            sent.source, self._first.node, sent.address, sent.port, sent.protocol
        )

    @property
    def concerns(self) -> tuple[Ref, ...]:
        """The objects at its ends."""
        return self._first.concerns


@dataclass(frozen=True)
class Followed:
    """All packets that a check follows on one node."""

    packets: Sequence[Traced]

    @classmethod
    def of(cls, packets: Sequence[Traced]) -> Followed:
        """The same. Raises NotApplicable if nothing could be decided.

        Where frames are for MACs that no device has, and none of a pod arrives, the plugin has a
        way of its own.
        """
        is_usual = any(e.source and not e.unknown and not e.dies for e in packets)
        if not is_usual:
            packets = [replace(e, unknown=REWRITTEN) if _is_misaddressed(e) else e for e in packets]
        if all(each.unknown for each in packets):
            why = packets[0].unknown if packets else "the node sends no such packets"
            raise NotApplicable(f"where packets end cannot be decided: {why}")
        return cls(packets)

    @property
    def lost(self) -> Sequence[Lost]:
        """Those that die, or whose answers die, by the line that decides it."""
        groups: dict[Hashable, list[Traced]] = {}
        for each in self.packets:
            if each.dies:
                groups.setdefault(each.line, []).append(each)
        return [*map(Lost, groups.values())]

    @property
    def undecided(self) -> Iterator[str]:
        """Why it is not known where packets end, once for each of them."""
        return (each.unknown for each in self.packets if each.unknown)

    @property
    def arriving(self) -> int:
        """How many were followed to the end, and back."""
        return sum(not each.unknown and not each.dies for each in self.packets)


def worst_of(found: Sequence[Path]) -> Path:
    """The branch that counts: one that dies, otherwise one that is open; with a large share."""
    return min(found, key=lambda e: (WORST_FIRST.index(e.result), is_refused(e), -e.share))


def is_refused(path: Path) -> bool:
    """Whether the packet arrives where no process listens: `endpoints.*` names such endpoints."""
    hop = path.decisive
    is_last = path.back is None and path.result is Result.DIES
    return is_last and hop is not None and hop.stage == SOCKET and hop.text.startswith(UNHEARD)


def why_open(path: Path, host: Place) -> str:
    """Why a path is open: for documents of older programs one reason is enough."""
    is_old = host.netns.record.programs is None
    return UNREAD if is_old and path.open else shortened(path.reason, LONGEST)


def _is_misaddressed(packet: Traced) -> bool:
    """Whether it dies because of the MAC of a frame."""
    reason = packet.path.reason if packet.path and packet.dies else ""
    return reason.startswith(("the frame is for", "no port leads to"))


def pods_of(world: World, source: Pod | None, path: Path) -> tuple[Pod, ...]:
    """The pods at both ends of a path."""
    target = world.pod_with(path.there.packet.destination)
    return tuple(each for each in (source, target) if each is not None)
