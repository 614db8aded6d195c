"""Each kind of match: in how many worlds it occurs, and for how many packets it decides."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol


class Followed(Protocol):
    """A packet with the lines that the trace names on its way, the last one where it dies."""

    @property
    def result(self) -> str: ...

    @property
    def lines(self) -> tuple[str, ...]: ...


KINDS = {
    "iptables, filter": (r"iptables-\S+ (?:-t filter )?-[AI]", r"\bfilter: -A"),
    "iptables, policy": (r" -P ", r"policy DROP of"),
    "iptables, raw": (r"-t raw", r"\braw: -A"),
    "iptables, mangle": (r"-t mangle", r"\bmangle: -A"),
    "iptables, legacy": (r"-legacy ", r"legacy \w+: -A"),
    "nft, ip and ip6": (r"table ip6? t", r"table ip6? t"),
    "nft, inet": (r"table inet t", r"table inet t"),
    "nft, bridge": (r"table bridge t", r"table bridge t"),
    "nft, arp": (r"table arp t", r"ARP is|table arp t"),
    "nft, netdev": (r"table netdev t", r"table netdev t"),
    "rules in a pod": (
        r"netns exec \w ip6?tables|netns exec \w nft",
        r"^pod .*(?:-A |table|policy)",
    ),
    "connection state": (r"ctstate|ct state", r"ctstate|ct state"),
    "no tracking": (r"--notrack", r"--notrack"),
    "DNAT": (r"-j DNAT", r"-j DNAT"),
    "SNAT": (r"-j SNAT", r"-j SNAT"),
    "masquerade": (r"-j MASQUERADE", r"-j MASQUERADE"),
    "REDIRECT": (r"-j REDIRECT", r"-j REDIRECT"),
    "TTL": (r"-set \d+$", r"(?:ttl|hl)-set"),
    "MTU": (r" mtu \d+", r"MTU: "),
    "route, blackhole": (r"route add blackhole", r"routing: blackhole (?!by)"),
    "route, unreachable": (r"route add unreachable", r"routing: unreachable (?!by)"),
    "route, prohibit": (r"route add prohibit", r"routing: prohibit (?!by)"),
    "rule by source": (r"rule add prio \d+ from", r"rule \d+: from [\da-f]"),
    "rule by destination": (r"rule add prio \d+ (?:iif \S+ )?to", r"rule \d+:.* to "),
    "rule by device": (r"rule add prio \d+ iif", r"rule \d+:.* iif "),
    "rule by mark": (r"rule add prio \d+ fwmark", r"rule \d+:.* fwmark "),
    "rp_filter": (r"rp_filter=", r"rp_filter of"),
    "accept_local": (r"accept_local=", r"accept_local is"),
    "forwarding": (r"forwarding=0", r"forwarding = 0"),
    "route_localnet": (r"route_localnet=", r"route_localnet = "),
    "arp_ignore": (r"arp_ignore=", r"arp_ignore = "),
    "arp_filter": (r"arp_filter=", r"arp_filter = "),
    "proxy_arp": (r"proxy_arp=", r"neighbour on .*169\.254\.1\.1"),
    "neighbour entry": (r"neigh replace", r"neighbour on .*PERMANENT"),
    "IPsec policy": (r"xfrm policy", r"block (?:in|out|fwd) "),
    "port isolation": (r"isolated on", r"isolated on"),
    "port state": (r" state \d", r"port \w+ is (?:disabled|blocking)"),
    "flooding": (r"flood off", r"flood off"),
    "static FDB entry": (r"master static", r"master cni0 static"),
    "tunnel's FDB": (r"fdb (?:del|replace) \S+ dev flannel", r"FDB of flannel\.1"),
    "device down": (r"link set \S+ down", r"is down|no carrier"),
    "address of another": (r"address add \S+(?: nodad)? dev lo", r" dev lo$"),
}
"""By name: what a command that makes it has, and what the lines of a path have that it decides."""


class Matches:
    """The table of a run."""

    def __init__(self) -> None:
        self._patterns = {
            name: (re.compile(command), re.compile(line)) for name, (command, line) in KINDS.items()
        }
        self._worlds = 0
        self._having: Counter[str] = Counter()
        self._named: Counter[str] = Counter()
        self._ending: Counter[str] = Counter()

    def add(self, commands: Sequence[str], packets: Iterable[Followed]) -> None:
        """Count a world: the commands that changed it, and its packets."""
        self._worlds += 1
        for name, (command, _) in self._patterns.items():
            self._having[name] += any(command.search(each) for each in commands)
        for packet in packets:
            self._count(packet)

    def _count(self, packet: Followed) -> None:
        for name, (_, line) in self._patterns.items():
            found = [each for each in packet.lines if line.search(each)]
            self._named[name] += bool(found)
            self._ending[name] += packet.result == "dies" and bool({*found} & {*packet.lines[-3:]})

    def lines(self) -> Iterator[str]:
        """The table."""
        yield "Kinds of matches: worlds; packets on whose way one is named; that die by one:"
        for name in KINDS:
            worlds, named, ending = (e[name] for e in (self._having, self._named, self._ending))
            share = worlds / max(self._worlds, 1)
            yield f"  {name:<22}{worlds:>6}{share:>6.0%}{named:>7}{ending:>7}"
