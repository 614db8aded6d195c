"""Chains of steps, which find the few steps for one packet without a search through all."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from operator import is_
from typing import Generic, TypeVar

from wirecheck.dataplane.kube_chains import is_kubernetes
from wirecheck.dataplane.rules.steps import (
    Action,
    Choose,
    Dnat,
    End,
    Jump,
    Lookup,
    Packet,
    SetMark,
    Step,
)
from wirecheck.dataplane.table import Frontend, RuleText, text_of

T = TypeVar("T")


class Chain:
    """The steps of one chain, found by destination.

    A chain with a rule for every Service has 10,000 steps. One packet can match only those for
    its address or its port, and those that name neither.
    """

    SMALL = 8

    def __init__(self, name: str, steps: Sequence[Step]) -> None:
        self.name = name
        self.steps = steps
        self.only_mark = _only_mark(steps)
        if len(steps) > self.SMALL:
            self._by_host: dict[str, list[tuple[int, Step]]] = {}
            self._by_port: dict[int, list[tuple[int, Step]]] = {}
            self._others: list[tuple[int, Step]] = []
            for position, step in enumerate(steps):
                self._place(position, step)

    @cached_property
    def open_jumps(self) -> tuple[str, ...]:
        """The chains that its rules jump to, except for single destinations."""
        return tuple(
            each.chain
            for step in self.steps
            if not (step.host and step.protocol and step.port)
            for each in _jumps(step.actions)
        )

    @cached_property
    def destinations(self) -> tuple[tuple[str, str, int], ...]:
        """(address or nothing, protocol, port) of each step for a single one that has an effect."""
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

    def is_alike(self, steps: Sequence[Step]) -> bool:
        """Whether `steps` and this chain match every packet with the same steps in the same order.

        kube-proxy writes the rules for single Services in random order. No packet can match two
        of them; only the general rules behind them have to keep their order.
        """
        head = len(self.steps) - len(self._others)
        return (
            len(steps) == len(self.steps)
            and self._apart is not None
            and all(map(is_, steps[head:], self.steps[head:]))
            and self._apart == set(map(id, steps[:head]))
        )

    @cached_property
    def _apart(self) -> frozenset[int] | None:
        """The steps before the general ones, if no packet can match two of them."""
        head = self.steps[: len(self.steps) - len(self._others)]
        keys = {(each.host, each.protocol, each.port) for each in head}
        if len(keys) < len(head) or not all(all(key) for key in keys):
            return None
        return frozenset(map(id, head))

    def concerning(self, packet: Packet) -> list[Step]:
        """The steps whose conditions on the packet match, whoever sends it."""
        return [step for step in self.candidates(packet) if concerns(packet, step)]

    def candidates(self, packet: Packet | None) -> Sequence[Step]:
        """The steps that the packet may match, in their order; without one all steps."""
        if packet is None or len(self.steps) <= self.SMALL:
            return self.steps
        found = [
            *self._by_host.get(packet.address, ()),
            *self._by_port.get(packet.port, ()),
            *self._others,
        ]
        found.sort(key=_position)
        return [step for _, step in found]


def concerns(packet: Packet, step: Step) -> bool:
    """Whether the step's conditions on the packet match, whoever sends it."""
    return not (
        step.never
        or (step.host and step.host != packet.address)
        or (step.port and step.port != packet.port)
        or (step.protocol and step.protocol != packet.protocol)
        or (step.tests and not all(test(packet) for test in step.tests))
    )


def concerns_destination(packet: Packet, step: Step) -> bool:
    """The same, whatever the state of the connection."""
    return not (
        (step.host and step.host != packet.address)
        or (step.port and step.port != packet.port)
        or (step.protocol and step.protocol != packet.protocol)
        or (step.tests and not all(test(packet) for test in step.tests))
    )


def _jumps(actions: Iterable[Action]) -> Iterator[Jump]:
    """The chains that actions jump to, except by maps of destinations: these name their members."""
    for action in actions:
        match action:
            case Jump():
                yield action
            case Lookup(_, found, members):
                if len(members) < len(found):
                    yield from _jumps(found.values())
            case Choose(choices, _):
                yield from _jumps(choices)


def _position(placed: tuple[int, Step]) -> int:
    return placed[0]


def _only_mark(steps: Sequence[Step]) -> SetMark | None:
    """The mark that a chain sets, if it does nothing else for every packet."""
    if len(steps) != 1 or len(steps[0].actions) != 1:
        return None
    step = steps[0]
    is_conditional = step.never or step.protocol or step.host or step.port or step.tests
    if is_conditional or step.sources or step.marks or step.probability < 1 or step.recalls:
        return None
    action = step.actions[0]
    return action if isinstance(action, SetMark) else None


class ChainCache:
    """Chains of several nodes: equal ones are one object, as most are the same everywhere."""

    MOST_SHARED = 100_000
    MOST_LONG = 8
    """Of each name, chains that list all Services: they are large."""

    def __init__(self) -> None:
        self.shared: dict[Hashable, Chain] = {}
        """Chains by their content."""
        self._long: dict[tuple[str, str], list[Chain]] = {}

    def keep(self, key: Hashable, chain: Chain) -> None:
        """Keep a chain for other nodes."""
        if len(self.shared) > self.MOST_SHARED:
            self.shared.clear()
        self.shared[key] = chain

    def chain_of(self, label: str, name: str, steps: Sequence[Step]) -> Chain:
        """A chain of these steps, or a long one that has them in another order."""
        if len(steps) <= Chain.SMALL:
            return Chain(name, steps)
        known = self._long.setdefault((label, name), [])
        chain = next((each for each in known if each.is_alike(steps)), None)
        if chain is None:
            chain = Chain(name, steps)
        else:
            known.remove(chain)
        known.insert(0, chain)
        del known[self.MOST_LONG :]
        return chain


class Chains(Generic[T]):
    """The chains of one table, each made of its rules when it is needed.

    Where `key_of` returns what a chain is made of, `cache` is asked for an equal one.
    """

    def __init__(
        self,
        label: str,
        rules: Mapping[str, T],
        translate: Callable[[T], Sequence[Step]],
        key_of: Callable[[T], Hashable] | None = None,
        cache: ChainCache | None = None,
        *,
        owner: str = "",
        variant: str = "",
    ) -> None:
        self.label = label
        self.owner = owner
        """The only program that writes this table; empty if several share it."""
        self._variant = variant
        self._key_of = key_of
        self._rules = rules
        self._translate = translate
        self._cache = ChainCache() if cache is None else cache
        self._made: dict[str, Chain] = {}

    def is_third_party(self, chain: str) -> bool:
        """Whether neither kube-proxy nor the kubelet writes the chain."""
        return not self.owner and not is_kubernetes(chain)

    def named(self, rules: tuple[RuleText, ...]) -> tuple[RuleText, ...]:
        """Rules as evidence: with the variant of iptables where both are in use."""
        if not self._variant:
            return rules
        return tuple(f"{self._variant}: {text_of(each)}" for each in rules)

    def policy_drop(self, base_chain: str) -> RuleText:
        """The policy DROP of a base chain, as evidence."""
        (policy,) = self.named((f"policy DROP of {base_chain}: no rule accepts it",))
        return policy

    def find(self, name: str) -> Chain | None:
        """The chain of that name, if there is one."""
        chain = self._made.get(name)
        if chain is None and name in self._rules:
            rules = self._rules[name]
            key = self._key_of(rules) if self._key_of else None
            chain = self._made[name] = self._make(name, rules, key)
        return chain

    @cached_property
    def all(self) -> Mapping[str, Chain]:
        """Every chain by name."""
        made, key_of, shared = self._made, self._key_of, self._cache.shared
        for name, rules in self._rules.items():
            if name not in made:
                key = key_of(rules) if key_of else None
                made[name] = shared.get(key) or self._make(name, rules, key)
        return made

    def _make(self, name: str, rules: T, key: Hashable) -> Chain:
        chain = self._cache.shared.get(key)
        if chain is None:
            chain = self._cache.chain_of(self.label, name, self._translate(rules))
            if key is not None:
                self._cache.keep(key, chain)
        return chain
