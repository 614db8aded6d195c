"""What routing rules ask about a packet, and the rules that a packet meets.

Source: fib_rule_match and fib_rules_lookup of the kernel (net/core/fib_rules.c).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from wirecheck.addresses import IPAddress, network
from wirecheck.snapshot.netns import Rule

INVERTED = " (not)"
"""The end of the action of a rule that applies to every packet that its selectors do not match."""

Ordered = tuple[int, Rule]
"""A rule with its place in the kernel's order."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A packet, apart from its destination.

    Without a `source` it is the first lookup of a connection: the kernel then chooses the source.
    """

    source: IPAddress | None = None
    interface: str = "lo"
    """The interface that received it; `lo` for packets of the node itself."""
    mark: int = 0


FROM_NODE = Origin()
"""A packet of the node itself, before its source is chosen."""


@dataclass(frozen=True, slots=True)
class RulesOfOrigin:
    """The rules of one family that packets of one origin can meet."""

    always: Sequence[Ordered]
    """Those that apply whatever the destination is."""
    single: Mapping[int, Mapping[int, Sequence[Ordered]]]
    """Those for a destination: by prefix length, and by the bits of the prefix."""
    inverted: Sequence[Ordered]
    """Those for all destinations but one."""

    def for_destination(self, target: IPAddress) -> Sequence[Ordered]:
        """Return the rules that apply to packets to `target`, in the kernel's order."""
        number, bits = int(target), target.max_prefixlen
        found: list[Ordered] = []
        for length, by_prefix in self.single.items():
            found += by_prefix.get(number >> (bits - length), ())
        for each in self.inverted:
            if target not in network(each[1].destination):
                found.append(each)
        return sorted([*self.always, *found], key=_place) if found else self.always


def rules_of(rules: Iterable[Rule], origin: Origin) -> RulesOfOrigin:
    """Return the rules of one family that apply to packets of this origin."""
    always: list[Ordered] = []
    single: dict[int, dict[int, list[Ordered]]] = {}
    inverted: list[Ordered] = []
    for each in enumerate(sorted(rules, key=lambda rule: rule.priority)):
        rule = each[1]
        matches = _matches(rule, origin)
        if matches is None:
            continue
        if not rule.action.endswith(INVERTED):
            if matches and rule.destination:
                range_ = network(rule.destination)
                prefix = int(range_.network_address) >> (range_.max_prefixlen - range_.prefixlen)
                single.setdefault(range_.prefixlen, {}).setdefault(prefix, []).append(each)
            elif matches:
                always.append(each)
        elif not matches:
            always.append(each)
        elif rule.destination:
            inverted.append(each)
    return RulesOfOrigin(always, single, inverted)


def action_of(rule: Rule) -> str:
    """Return the rule's action, whether or not its selectors are inverted."""
    return rule.action.removesuffix(INVERTED)


def _matches(rule: Rule, origin: Origin) -> bool | None:
    """Whether all selectors apart from the destination match; None if that is not known.

    Rules for a user, a protocol or a port apply to some packets of an origin only.
    """
    is_known = (
        (not rule.source or (origin.source is not None and _contains(rule.source, origin.source)))
        and (not rule.iif or rule.iif == origin.interface)
        and not rule.oif
        and (not rule.mark or _has_mark(rule.mark, origin.mark))
    )
    return None if is_known and rule.other_selectors else is_known


def _contains(range_: str, source: IPAddress) -> bool:
    known = network(range_)
    return known.version == source.version and source in known


def _has_mark(wanted: str, mark: int) -> bool:
    """Whether a mark is `VALUE/MASK`; without a mask all bits count."""
    value, _, mask = wanted.partition("/")
    return not (int(value, 16) ^ mark) & (int(mask, 16) if mask else 0xFFFFFFFF)


def _place(each: Ordered) -> int:
    return each[0]
