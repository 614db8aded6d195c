"""The connection table of a node: its use, what it lost, and entries towards DNS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import lru_cache

from wirecheck.addresses import IPAddress
from wirecheck.catalogue.findings import FactMissingError, NotApplicable, Ref
from wirecheck.network.registry import MASQUERADE_CHAINS
from wirecheck.node.iptables import Iptables
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.seen import NodeSeen
from wirecheck.node.service_proxy import ServiceProxy
from wirecheck.parse.conntrack import Connection, parse_connections
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.node_document import ConntrackSample, NewConnections

LOSS_COUNTERS = ("drop", "early_drop", "insert_failed")
"""Packets refused by a full table, entries thrown out to make room, races for one entry."""


TIME_WAIT = 120
"""Seconds for which the table keeps a TCP connection that was closed (nf_conntrack's default)."""

MASQUERADE = "-j MASQUERADE"
MASQUERADING = re.compile(rf"-A (?:{'|'.join(map(re.escape, MASQUERADE_CHAINS))})")
"""Rules of kube-proxy, of CNI plugins and of ip-masq-agent."""


@dataclass(frozen=True)
class Table:
    """The entries that one netns has in the table; the limit is the same for every netns."""

    ref: Ref
    count: int
    limit: int

    @property
    def use(self) -> float:
        """Percent of the limit."""
        return 100 * self.count / self.limit if self.limit else 100.0


@dataclass(frozen=True)
class TableFull:
    """Lines of the kernel log that tell of a full table."""

    pattern: str
    when: str
    age_minutes: float
    times: int
    text: str

    def __str__(self) -> str:
        """The last line, its time and how often there was one like it."""
        return f"{self.text!r} at {self.when}, {self.times} times in the log"


@dataclass(frozen=True)
class ConnectionRate:
    """New connections of the node's own netns while one listened."""

    heard: NewConnections
    limit: int

    @property
    def rate(self) -> float:
        """A second."""
        return self.heard.count / self.heard.seconds if self.heard.seconds else 0.0

    @property
    def share(self) -> float:
        """Percent of the table that they fill if they go on, as long as a closed one is kept."""
        return 100 * self.rate * TIME_WAIT / self.limit if self.limit else 100.0

    @property
    def places(self) -> list[str]:
        """`10.96.0.10:53/udp: 812`, most first."""
        return [f"{place}: {number:,}" for place, number in self.heard.destinations.items()]

    def __str__(self) -> str:
        """`1,204 a second, mostly to 10.96.0.10:53/udp`."""
        least = "at least " if self.heard.lost else ""
        first = next(iter(self.heard.destinations), "")
        return f"{least}{self.rate:,.0f} a second" + (f", mostly to {first}" if first else "")


@dataclass(frozen=True)
class DnsConnection:
    """A UDP entry whose client asked the DNS Service."""

    connection: Connection

    @property
    def client(self) -> IPAddress:
        return self.connection.original.source

    @property
    def service(self) -> IPAddress:
        return self.connection.original.destination

    @property
    def backend(self) -> IPAddress:
        """Who is to answer: the entry expects the reply from there."""
        return self.connection.reply.source

    @property
    def target(self) -> str:
        """Where the entry sends its client's queries."""
        if self.backend == self.service:
            return "not translated at all: made before the Service's rules were there"
        return f"translated to {self.backend}, which is no DNS replica"

    @property
    def text(self) -> str:
        return self.connection.text


@dataclass(frozen=True)
class Conntrack:
    """The connection table of one node."""

    seen: NodeSeen
    namespaces: PodNamespaces
    service_proxy: ServiceProxy
    iptables: Iptables

    @property
    def limit(self) -> int:
        return self.seen.number("net.netfilter.nf_conntrack_max")

    @property
    def configured_limit(self) -> int | None:
        """What kube-proxy sets as the limit; None where it is told to leave it alone.

        Raises NotApplicable where nothing tells how kube-proxy is configured.
        """
        if not self.service_proxy.kube_proxy.is_configured:
            raise NotApplicable(f"nothing tells how kube-proxy on {self.seen.name} is configured")
        return self.service_proxy.kube_proxy.facts.conntrack_limit(self.seen.facts.host.cpus)

    @property
    def tables(self) -> Iterator[Table]:
        """The node's own entries and those of each pod's netns."""
        limit = self.limit
        own = self.seen.number("net.netfilter.nf_conntrack_count")
        yield Table(self.seen.part("conntrack"), own, limit)
        for pod, netns in self.namespaces.pods_with_netns:
            if (count := netns.record.conntrack_count) is not None:
                yield Table(replace(pod.ref, part="conntrack"), count, limit)

    @property
    def window(self) -> float:
        """Seconds between the two samples of the counters."""
        first, last = self._samples
        return last.time - first.time

    @property
    def drops(self) -> dict[str, int]:
        """How much each counter of losses grew between the two samples."""
        first, last = self._samples
        return {
            counter: last.counters[counter] - first.counters[counter]
            for counter in LOSS_COUNTERS
            if counter in first.counters and counter in last.counters
        }

    @property
    def _samples(self) -> tuple[ConntrackSample, ConntrackSample]:
        if len(self.seen.facts.conntrack) < 2:
            raise FactMissingError(
                f"The conntrack counters of {self.seen.name} were not read twice."
            )
        return self.seen.facts.conntrack[0], self.seen.facts.conntrack[-1]

    @property
    def buckets(self) -> int:
        """Lists of entries in the hash table, which all netns share."""
        return self.seen.number("net.netfilter.nf_conntrack_buckets")

    @property
    def predictable_masquerades(self) -> Iterator[str]:
        """Kubernetes' rules that masquerade without choosing ports at random.

        Raises NotApplicable where no rule of iptables masquerades.
        """
        texts = self.iptables.rules.values()
        rules = [rule for text in texts for rule in _masquerading(text)]
        if not rules:
            raise NotApplicable("no rule of Kubernetes in iptables masquerades here")
        yield from (rule for rule in rules if "--random-fully" not in rule)

    @property
    def new_connections(self) -> ConnectionRate:
        """New connections while the node was looked at."""
        facts = self.seen.facts
        if facts.new_connections is None and (
            problem := next((each for each in facts.problems if each.startswith("New conn")), "")
        ):
            raise FactMissingError(f"{self.seen.name}: {problem}")
        if facts.new_connections is None:
            raise NotApplicable("nothing listened for new connections on this node")
        return ConnectionRate(facts.new_connections, self.limit)

    @property
    def table_full_events(self) -> Iterator[TableFull]:
        """Lines about a full table in the kernel log, one event for each pattern."""
        facts = self.seen.facts
        lines = [line for line in facts.kernel_log if "table full" in line.text]
        if lines:
            last = max(lines, key=lambda line: line.time)
            yield TableFull(
                pattern=last.pattern,
                when=datetime.fromtimestamp(last.time, tz=UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
                age_minutes=(facts.finished - last.time) / 60,
                times=len(lines),
                text=last.text,
            )

    @property
    def dns_connections(self) -> Iterator[DnsConnection]:
        """UDP entries towards the DNS Service addresses, in the node's netns."""
        seen = self.seen
        wanted = seen.cluster.dns.service_addresses
        text = seen.output_of("conntrack-dns") + seen.output_if_asked("conntrack-dns6")
        try:
            for each in parse_connections(text):
                if each.original.destination in wanted and each.original.destination_port == 53:
                    yield DnsConnection(each)
        except ParseError as error:
            raise FactMissingError(f"{seen.name}: {error}") from error


@lru_cache(maxsize=2)
def _masquerading(text: str) -> tuple[str, ...]:
    """The rules that masquerade: a handful, in as many lines as there are Services."""
    return tuple(_with_masquerade(text))


def _with_masquerade(text: str) -> Iterator[str]:
    end = 0
    while (at := text.find(MASQUERADE, end)) >= 0:
        start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
        end = len(text) if end < 0 else end
        if MASQUERADING.match(text, start):
            yield text[start:end]
