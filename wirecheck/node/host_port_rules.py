"""Host ports as iptables rules of the programs that write them: one mapping for each port.

portmap, CRI-O, kubenet, Docker and Podman write different chains of one form: a chain that
PREROUTING and OUTPUT call, in it a jump or a translation for each port.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from wirecheck.addresses import canonical, network
from wirecheck.api_index.host_ports import HostPort
from wirecheck.dataplane.kube_chains import is_kubernetes
from wirecheck.parse.iptables import IptablesDump, Rule, parse_rule
from wirecheck.parse.nft_host_ports import parse_host_ports

PORTMAP, CRIO = "CNI-HOSTPORT-DNAT", "KUBE-HOSTPORTS"
WRITERS = {
    PORTMAP: "portmap",
    CRIO: "CRI-O or kubenet",
    "DOCKER": "Docker",
    "NETAVARK-HOSTPORT-DNAT": "Podman",
}
"""Who writes host ports, by the chain that the base chains call."""
NFT_LISTINGS = {
    "cni_hostport": ("nft-portmap", "nft-portmap6"),
    "crio-hostports": ("nft-crio", "nft-crio6"),
}
"""The commands that list the nftables tables of portmap (from 1.6) and CRI-O, one per family."""
FOR_PODS = frozenset({PORTMAP, CRIO, *NFT_LISTINGS})
"""The writers whose rules are for pods only: others have containers that are not pods."""
HOOKS = ("PREROUTING", "OUTPUT")
"""The base chains that must call it, for incoming connections and for the node's own."""
MOST_JUMPS = 4
"""Jumps that are followed, one after another: rules may call each other in a circle."""
ELSEWHERE = frozenset({"-i"})
"""Conditions that may be negated: Docker excludes its own bridge."""


@dataclass(frozen=True)
class PortMapping:
    """One rule that translates a port of the node."""

    protocol: str
    host_address: str
    """Empty for all addresses of the node."""
    port: int
    target: str
    """`10.244.1.3:8080`, `[fd00::3]:8080`."""
    rule: str
    chain: str
    """The chain that the base chains call, or the nftables table; empty for rules of an unknown
    program."""

    def matches(self, port: HostPort) -> bool:
        """Return whether it translates connections to the port, in the port's family."""
        is_same = (self.protocol, self.port) == (port.protocol, port.port)
        return is_same and self.family == port.family and self._overlaps(port.host_address)

    def _overlaps(self, host_address: str) -> bool:
        return not self.host_address or self.host_address == host_address

    @property
    def family(self) -> int:
        return 6 if self.target.startswith("[") else 4

    @property
    def name(self) -> str:
        """`host port 8088/tcp`."""
        return f"host port {self.port}/{self.protocol}"


@dataclass(frozen=True)
class _Conditions:
    """What the rules on the way to a translation require."""

    protocol: str = ""
    host: str = ""
    port: str = ""

    def with_those_of(self, rule: Rule) -> _Conditions | None:
        """These and those of a rule; None if some are not those of a port mapping."""
        if rule.problem or any(e.negated and e.name not in ELSEWHERE for e in rule.options):
            return None
        words = {each.name: "".join(each.values[:1]) for each in rule.options}
        found = {"protocol": words.get("-p"), "host": words.get("-d"), "port": words.get("--dport")}
        return replace(self, **{name: value for name, value in found.items() if value})


def mappings_in(dump: IptablesDump) -> Iterator[PortMapping]:
    """The port mappings of known writers in the order of evaluation, then all others."""
    called = [parse_rule(line).target for line in lines_of(dump, HOOKS[0])]
    for chain in dict.fromkeys((*filter(WRITERS.__contains__, called), *WRITERS)):
        yield from _below(dump, chain, _Conditions(), chain)
    yield from _below(dump, HOOKS[0], _Conditions(), "")


def mappings_in_nftables(table: str, listing: str) -> Iterator[PortMapping]:
    """The port mappings in the listing of a table. Raises ParseError if it is malformed."""
    for each in parse_host_ports(listing):
        where = f"[{each.address}]" if ":" in each.address else each.address
        target = f"{where}:{each.pod_port}"
        yield PortMapping(each.protocol, each.host_address, each.port, target, each.text, table)


def lines_of(dump: IptablesDump, name: str) -> list[str]:
    """The rules of a chain in table nat."""
    chain = dump.chain("nat", name)
    return chain.rules if chain else []


def _below(
    dump: IptablesDump, name: str, so_far: _Conditions, writer: str, depth: int = 0
) -> Iterator[PortMapping]:
    """The translations in a chain and in those that it jumps to."""
    for line in lines_of(dump, name):
        rule = parse_rule(line)
        conditions = so_far.with_those_of(rule)
        if conditions is None:
            continue
        if rule.target == "DNAT":
            yield from _translation(rule, conditions, writer)
        elif depth < MOST_JUMPS and not is_kubernetes(rule.target) and rule.target not in WRITERS:
            yield from _below(dump, rule.target, conditions, writer, depth + 1)


def _translation(rule: Rule, conditions: _Conditions, writer: str) -> Iterator[PortMapping]:
    """Parse `-d HOST -p tcp --dport 8088 -j DNAT --to-destination …`; others are not mappings."""
    target = next((e.values[0] for e in rule.target_options if e.name == "--to-destination"), "")
    where, _, target_port = target.rpartition(":")
    if not (conditions.port.isdecimal() and target_port.isdecimal() and where):
        return
    try:
        host = canonical(str(network(conditions.host).network_address)) if conditions.host else ""
        bare = canonical(where.strip("[]"))
    except ValueError:
        return
    yield PortMapping(
        conditions.protocol,
        host,
        int(conditions.port),
        f"[{bare}]:{target_port}" if ":" in bare else f"{bare}:{target_port}",
        rule.text,
        writer,
    )
