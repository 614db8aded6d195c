"""The connection table of a node: usage, drops, and entries for DNS."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from wirecheck.addresses import IPAddress, address
from wirecheck.api_index.backend import with_port
from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.network.plugins.cilium import PLUGIN as CILIUM
from wirecheck.network.registry import MASQUERADE_CHAINS
from wirecheck.node.foreign_addresses import OF_PROXIES
from wirecheck.node.iptables import Iptables
from wirecheck.node.kernel_log import LogEvent, genuine, log_events
from wirecheck.node.missing_tools import tracks_connections
from wirecheck.node.nftables import has_target
from wirecheck.node.pod_namespaces import PodNamespaces
from wirecheck.node.seen import NodeSeen
from wirecheck.node.service_proxy import ServiceProxy
from wirecheck.node.stale_entries import StaleEntries, stale_entries
from wirecheck.node.table_usage import TableUsage
from wirecheck.parse.conntrack import Connection, parse_connections
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.node_document import ConntrackSample, NewConnections

DROP_COUNTERS = ("drop", "early_drop", "insert_failed")
"""Packets dropped by a full table, entries evicted to make room, races for one entry."""

TIME_WAIT = 120
"""Seconds for which the table keeps a closed TCP connection (nf_conntrack's default)."""

OF_OTHERS = r"^-A (?!KUBE-(?!HP-|HOSTPORTS))\S+ .*--to-destination {target}(?:\s|$)"
"""A rule that translates to a backend, of another program than kube-proxy."""

MASQUERADE = "-j MASQUERADE"
HAIRPIN = "--match-set KUBE-LOOP-BACK "
"""kube-proxy in IPVS mode never writes --random-fully into this rule, whatever the version."""
MASQUERADING = re.compile(rf"-A (?:{'|'.join(map(re.escape, MASQUERADE_CHAINS))})")
"""Rules of kube-proxy, of CNI plugins and of ip-masq-agent."""


@dataclass(frozen=True)
class ConnectionRate:
    """New connections in the node's own netns during the visit."""

    record: NewConnections
    limit: int

    @property
    def rate(self) -> float:
        """New connections per second."""
        return self.record.count / self.record.seconds if self.record.seconds else 0.0

    @property
    def share(self) -> float:
        """Percent of the table that this rate fills within TIME_WAIT."""
        return 100 * self.rate * TIME_WAIT / self.limit if self.limit else 100.0

    @property
    def destinations(self) -> list[str]:
        """`10.96.0.10:53/udp: 812`, most first."""
        return [f"{where}: {number:,}" for where, number in self.record.destinations.items()]

    def __str__(self) -> str:
        """`1,204 a second, mostly to 10.96.0.10:53/udp`."""
        least = "at least " if self.record.lost else ""
        first = next(iter(self.record.destinations), "")
        return f"{least}{self.rate:,.0f} a second" + (f", mostly to {first}" if first else "")


@dataclass(frozen=True)
class DnsConnection:
    """A UDP entry of a client that sent a query to the DNS Service."""

    connection: Connection

    @property
    def client(self) -> IPAddress:
        return self.connection.original.source

    @property
    def service(self) -> IPAddress:
        return self.connection.original.destination

    @property
    def backend(self) -> IPAddress:
        """The address that the entry expects the reply from."""
        return self.connection.reply.source

    @property
    def target(self) -> str:
        """Where the entry sends the client's queries."""
        if self.backend == self.service:
            return "not translated: the entry is older than the Service's rules"
        return f"translated to {self.backend}, which is not a DNS replica"

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

    def require_tracking(self) -> None:
        """Raise NotApplicable where the kernel does not track connections."""
        if not tracks_connections(self.seen.facts):
            raise NotApplicable(f"the kernel of {self.seen.name} does not track connections")

    @property
    def limit(self) -> int:
        self.require_tracking()
        return self.seen.number("net.netfilter.nf_conntrack_max")

    @property
    def configured_limit(self) -> int | None:
        """The limit that kube-proxy sets; None where it is configured not to set one.

        Raises NotApplicable where the configuration of kube-proxy is unknown.
        """
        if not self.service_proxy.kube_proxy.is_configured:
            raise NotApplicable(f"the configuration of kube-proxy on {self.seen.name} is unknown")
        return self.service_proxy.kube_proxy.facts.conntrack_limit(self.seen.facts.host.cpus)

    @property
    def tables(self) -> Iterator[TableUsage]:
        """The node's own entries and those of each pod's netns."""
        limit = self.limit
        own = self.seen.number("net.netfilter.nf_conntrack_count")
        yield TableUsage(self.seen.part("conntrack"), own, limit)
        for pod, netns in self.namespaces.pods_with_netns:
            if (count := netns.record.conntrack_count) is not None:
                yield TableUsage(replace(pod.ref, part="conntrack"), count, limit)

    @property
    def window(self) -> float:
        """Seconds between the two samples of the counters."""
        first, last = self._samples
        return last.time - first.time

    @property
    def drops(self) -> dict[str, int]:
        """How much each counter of drops grew between the two samples."""
        first, last = self._samples
        return {
            counter: last.counters[counter] - first.counters[counter]
            for counter in DROP_COUNTERS
            if counter in first.counters and counter in last.counters
        }

    @property
    def _samples(self) -> tuple[ConntrackSample, ConntrackSample]:
        self.require_tracking()
        samples = self.seen.facts.conntrack or ()
        if len(samples) < 2:
            raise FactMissingError(
                f"The conntrack counters of {self.seen.name} were not read twice: the "
                "visit ended early. Raise `limits.node` in the inventory."
            )
        return samples[0], samples[-1]

    @property
    def buckets(self) -> int:
        """The buckets of the hash table, which all netns share."""
        self.require_tracking()
        return self.seen.number("net.netfilter.nf_conntrack_buckets")

    @property
    def predictable_masquerades(self) -> Iterator[str]:
        """The MASQUERADE rules of Kubernetes that do not choose random source ports.

        Raises NotApplicable where there are no such rules in iptables.
        """
        texts = self.iptables.rules_in("nat").values()
        rules = [rule for text in texts for rule in _masquerading(text)]
        if not rules:
            raise NotApplicable("no iptables rule of Kubernetes masquerades on this node")
        yield from (r for r in rules if "--random-fully" not in r and HAIRPIN not in r)

    @property
    def new_connections(self) -> ConnectionRate:
        """New connections during the visit. Raises NotApplicable if they were not counted."""
        found = self.seen.required(
            self.seen.facts.new_connections,
            Fact.NEW_CONNECTIONS,
            "new connections were not counted on this node",
        )
        return ConnectionRate(found, self.limit)

    @property
    def table_full_events(self) -> Iterator[LogEvent]:
        """The messages in the kernel log that the table was full."""
        facts = self.seen.facts
        lines = (line for line in genuine(self.seen.kernel_log) if "table full" in line.text)
        return log_events(lines, facts.finished)

    @property
    def dns_connections(self) -> Iterator[DnsConnection]:
        """UDP entries for the DNS Service addresses, in the node's netns.

        Those that a cache of the node answers are left out, at an address that the API does not
        show: NodeLocal DNSCache can have the DNS Service's own address.
        """
        interfaces = self.seen.host.interfaces
        bound = [each.addresses for each in interfaces if each.name not in OF_PROXIES]
        local = frozenset().union(*bound) - self.seen.addresses
        for each in filter(self._is_for_dns, self._udp_entries):
            if each.reply.source not in local:
                yield DnsConnection(each)

    @property
    def stale_udp_entries(self) -> Iterator[StaleEntries]:
        """UDP entries for other Services, translated to what is not an endpoint of theirs."""
        services = self.seen.cluster.udp_services
        own = frozenset(address(each.address) for each in self.seen.facts.namespaces[0].addresses)
        others = (each for each in self._udp_entries if not self._is_for_dns(each))
        for each in stale_entries(others, services, own):
            if not self._is_of_others(each):
                yield each

    def _is_of_others(self, entry: StaleEntries) -> bool:
        """Whether another program than kube-proxy still translates to that backend.

        A host port can have the port and address of a Service, as of ServiceLB in k3s, and Docker
        publishes ports.
        """
        target = re.escape(with_port(str(entry.backend), entry.backend_port))
        pattern = re.compile(OF_OTHERS.format(target=target), re.MULTILINE)
        if has_target(self.seen, str(entry.backend), entry.backend_port):
            return True
        with suppress(FactMissingError, NotApplicable):
            return any(pattern.search(text) for text in self.iptables.rules_in("nat").values())
        return False

    def _is_for_dns(self, entry: Connection) -> bool:
        to = entry.original
        return to.destination_port == 53 and to.destination in self._dns_addresses

    @cached_property
    def _dns_addresses(self) -> frozenset[IPAddress]:
        return frozenset(self.seen.cluster.dns.service_addresses)

    @cached_property
    def _udp_entries(self) -> tuple[Connection, ...]:
        """In documents of older programs only those for the DNS Service addresses.

        Raises NotApplicable where Cilium has a table of its own for Services. Its programs are
        missing for a moment when its agent restarts, and what passes then is not translated.
        """
        seen = self.seen
        if seen.proxy_replacement == CILIUM.name:
            raise NotApplicable(
                f"{CILIUM} translates connections to Services, and not by the kernel's table"
            )
        self.require_tracking()
        text = seen.output_of("conntrack-dns") + seen.output_if_asked("conntrack-dns6")
        try:
            return tuple(parse_connections(text))
        except ParseError as error:
            raise FactMissingError(f"{seen.name}: {error}") from error


@lru_cache(maxsize=2)
def _masquerading(text: str) -> tuple[str, ...]:
    """Return the rules that masquerade: a few among one or more lines for each Service."""
    return tuple(_with_masquerade(text))


def _with_masquerade(text: str) -> Iterator[str]:
    end = 0
    while (at := text.find(MASQUERADE, end)) >= 0:
        start, end = text.rfind("\n", 0, at) + 1, text.find("\n", at)
        end = len(text) if end < 0 else end
        if MASQUERADING.match(text, start):
            yield text[start:end]
