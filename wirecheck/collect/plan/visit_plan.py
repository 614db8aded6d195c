"""The plan of one visit: its DNS queries, its connections and its limits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from msgspec import Struct

from wirecheck import __version__
from wirecheck.collect.on_node.rule_blocks import DIGITS
from wirecheck.collect.plan.contact_targets import ContactTargets, contact_targets
from wirecheck.collect.plan.contacts import ContactPlan, contacts_from
from wirecheck.collect.plan.dns import (
    DnsLimits,
    DnsNames,
    DnsPlan,
    dns_names,
    dns_plan,
    queries_of,
    without_queries,
)
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import HelperPodsRecord
from wirecheck.text import harmless, shortened

LEAST_IN_BLOCKS = 100_000
"""Characters: a smaller output is not worth a separate file."""

MOST_KNOWN = 1_000
"""The number of blocks that a plan names: about 11 kB of arguments; 10,000 Services have 350."""

HAND_OVER = 10.0
"""Seconds of a visit's limit that are reserved for the transport and the end of the program."""


@dataclass(frozen=True, slots=True)
class RoundOptions:
    """Limits of one round over all nodes; times in seconds."""

    dns_rate: float = 200.0
    """DNS queries per second, over all nodes together."""
    dns_tries: int = 3
    dns_timeout: float = 2.5
    external_names: tuple[str, ...] = ()
    visit_limit: float = 60.0
    total_limit: float = 600.0
    workers: int = 32
    window: float = 2.0
    """The least time between the two samples of the conntrack counters."""
    contacts: bool = True
    """Whether TCP connections are made; otherwise only DNS queries are sent."""
    queries: bool = True
    """Whether DNS queries are sent."""
    helpers: HelperPodsRecord | None = None
    """The helper pods of this run; None if there are none."""


class BlockPlan(Struct, frozen=True):
    """How large outputs are sent: in blocks; a block that is stored already is only named."""

    least: int = LEAST_IN_BLOCKS
    known: tuple[str, ...] = ()
    """The first hexadecimal digits of their SHA-256, `DIGITS` of them."""

    @classmethod
    def without(cls, digests: Sequence[str]) -> BlockPlan:
        """The plan to send all blocks except these; only the last MOST_KNOWN of these are named."""
        return cls(known=tuple(each[:DIGITS] for each in digests[-MOST_KNOWN:]))


class Plan(Struct, frozen=True):
    """A visit's whole task; the node program gets it as JSON."""

    program: str
    deadline: float
    window: float
    dns: DnsPlan
    contacts: ContactPlan | None = None
    blocks: BlockPlan | None = None
    """None if rules are sent as the tools print them."""

    def encoded(self) -> bytes:
        """The JSON that the node program reads."""
        return msgspec.json.encode(self)


@dataclass(frozen=True, slots=True)
class Planner:
    """Makes the plans of one round, from several threads; their shared data is computed before."""

    options: RoundOptions
    rate: float
    """DNS queries per second of each visit."""
    names: DnsNames
    targets: ContactTargets | None
    problems: tuple[str, ...] = ()
    """What could not be planned for any node, as sentences."""

    def plan(self, node: str, known_blocks: Sequence[str] = ()) -> Plan:
        """The plan of the visit to `node`; the same API objects always give the same plan.

        Blocks of rules that are stored already need not be sent again.
        """
        options, targets = self.options, self.targets
        limits = DnsLimits(
            self.rate, options.dns_tries, options.dns_timeout, options.external_names
        )
        dns = dns_plan(self.names, node, limits)
        return Plan(
            program=__version__,
            deadline=max(options.visit_limit - HAND_OVER, options.visit_limit * 0.7),
            window=options.window,
            dns=dns if options.queries else without_queries(dns),
            contacts=contacts_from(targets, node, options.dns_timeout) if targets else None,
            blocks=BlockPlan.without(known_blocks),
        )

    @property
    def queries(self) -> dict[str, str]:
        """Every query in the plans: id → `NAME TYPE`."""
        options = self.options
        return queries_of(self.names, options.external_names) if options.queries else {}


def planner_of(api: ApiObjects, options: RoundOptions) -> Planner:
    """The planner of one round over the nodes of `api`.

    If an unforeseen object makes planning fail, the queries or connections of the round are lost,
    not the round. What was not tried counts as not checked.
    """
    rate = options.dns_rate / max(1, min(len(api.nodes), options.workers))
    problems: list[str] = []
    try:
        names = dns_names(api, options.helpers)
    except Exception as error:
        problems.append(_unplanned("DNS queries", error))
        names = dns_names(ApiObjects(nodes=api.nodes))
    try:
        targets = contact_targets(api, options.helpers) if options.contacts else None
    except Exception as error:
        problems.append(_unplanned("connections", error))
        targets = None
    return Planner(options, rate, names, targets, tuple(problems))


def _unplanned(what: str, error: Exception) -> str:
    said = shortened(harmless(f"{type(error).__name__}: {error}"), 300)
    return f"The {what} of this round could not be planned, so none were tried: {said}"


def plan_for(api: ApiObjects, node: str, options: RoundOptions) -> Plan:
    """The plan of a single visit."""
    return planner_of(api, options).plan(node)
