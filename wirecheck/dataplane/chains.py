"""Chains of steps, in which the few that concern one packet are found without going through all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import ClassVar, Generic, TypeVar

from wirecheck.dataplane.steps import Action, Choose, Dnat, End, Jump, Lookup, Packet, SetMark, Step
from wirecheck.dataplane.table import Frontend

T = TypeVar("T")


class Chain:
    """Steps of one chain, found by the destination that they are about.

    Chains with a rule for every Service have 10,000 of them, of which one packet can meet
    only those for its address or its port, and those that name neither.
    """

    SMALL = 8

    def __init__(self, name: str, steps: Sequence[Step]) -> None:
        self.name = name
        self.steps = steps
        self.only_mark = _only_mark(steps)
        self._by_host: dict[str, list[tuple[int, Step]]] = {}
        self._by_port: dict[int, list[tuple[int, Step]]] = {}
        self._others: list[tuple[int, Step]] = []
        if len(steps) > self.SMALL:
            for position, step in enumerate(steps):
                self._place(position, step)

    @cached_property
    def open_jumps(self) -> tuple[str, ...]:
        """The chains that rules lead to which are not about one destination only."""
        return tuple(
            each.chain
            for step in self.steps
            if not (step.host and step.protocol and step.port)
            for each in _jumps(step.actions)
        )

    @cached_property
    def destinations(self) -> tuple[tuple[str, str, int], ...]:
        """(address or nothing, protocol, port) of each step about just one that does something."""
        return tuple(
            (step.host, step.protocol, step.port)
            for step in self.steps
            if step.port
            and step.protocol
            and not step.never
            and any(isinstance(each, Jump | Dnat | End | Choose) for each in step.actions)
        )

    @cached_property
    def members(self) -> tuple[Frontend, ...]:
        """The frontends that its maps have entries for."""
        lookups = (each for step in self.steps for each in step.actions)
        return tuple(m for each in lookups if isinstance(each, Lookup) for m in each.members)

    def _place(self, position: int, step: Step) -> None:
        if step.host:
            self._by_host.setdefault(step.host, []).append((position, step))
        elif step.port:
            self._by_port.setdefault(step.port, []).append((position, step))
        else:
            self._others.append((position, step))

    @property
    def is_small(self) -> bool:
        """Whether all packets have the same candidates: all steps."""
        return len(self.steps) <= self.SMALL

    def candidates(self, packet: Packet) -> Sequence[Step]:
        """The steps that the packet may match, in their order."""
        if len(self.steps) <= self.SMALL:
            return self.steps
        found = [
            *self._by_host.get(packet.address, ()),
            *self._by_port.get(packet.port, ()),
            *self._others,
        ]
        found.sort(key=_position)
        return [step for _, step in found]


def _jumps(actions: Iterable[Action]) -> Iterator[Jump]:
    """The chains that actions lead to, also through maps and choices."""
    for action in actions:
        match action:
            case Jump():
                yield action
            case Lookup(_, found):
                yield from _jumps(found.values())
            case Choose(choices, _):
                yield from _jumps(choices)


def _position(placed: tuple[int, Step]) -> int:
    return placed[0]


def _only_mark(steps: Sequence[Step]) -> SetMark | None:
    """The mark that a chain sets, if it does that and nothing else for every packet."""
    if len(steps) != 1 or len(steps[0].actions) != 1:
        return None
    step = steps[0]
    is_conditional = step.never or step.protocol or step.host or step.port or step.tests
    if is_conditional or step.sources or step.marks or step.probability < 1 or step.recalls:
        return None
    action = step.actions[0]
    return action if isinstance(action, SetMark) else None


class Chains(Generic[T]):
    """The chains of one table, made of their rules when they are first asked for.

    Where `text_of` gives the text that a chain is made of, equal chains of several nodes are
    one object: most of them are the same everywhere.
    """

    LONGEST_SHARED = 50_000
    """Longer texts list all Services in an order of chance, and are never equal."""
    MOST_SHARED = 100_000

    _shared: ClassVar[dict[tuple[str, str], Chain]] = {}

    def __init__(
        self,
        label: str,
        rules: Mapping[str, T],
        translate: Callable[[T], Sequence[Step]],
        text_of: Callable[[T], str] | None = None,
    ) -> None:
        self.label = label
        self._text_of = text_of
        self._rules = rules
        self._translate = translate
        self._made: dict[str, Chain] = {}

    def find(self, name: str) -> Chain | None:
        """The chain of that name, if there is one."""
        chain = self._made.get(name)
        if chain is None and name in self._rules:
            chain = self._made[name] = self._make(name, self._rules[name])
        return chain

    def find_all(self, names: Iterable[str]) -> tuple[Chain | None, ...]:
        """The chains of these names; quick for many that were asked for before."""
        if len(self._made) < len(self._rules):
            for name in self._rules:
                self.find(name)
        return tuple(map(self._made.get, names))

    def _make(self, name: str, rules: T) -> Chain:
        text = self._text_of(rules) if self._text_of else None
        if text is None or len(text) > self.LONGEST_SHARED:
            return Chain(name, self._translate(rules))
        chain = self._shared.get((name, text))
        if chain is None:
            if len(self._shared) > self.MOST_SHARED:
                self._shared.clear()
            chain = self._shared[name, text] = Chain(name, self._translate(rules))
        return chain
