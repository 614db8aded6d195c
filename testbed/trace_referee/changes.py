"""Random changes to a world: each has the kind of line that it adds, and a command."""

from __future__ import annotations

import re
from collections.abc import Callable

from testbed.referee.dice import Dice
from testbed.trace_referee import single_changes
from testbed.trace_referee.pair import MACS, NODES
from testbed.trace_referee.site import ONE, PORTS, Site, where_in

STATES = ("NEW", "ESTABLISHED", "RELATED,ESTABLISHED", "INVALID", "NEW,ESTABLISHED")


def change(dice: Dice, site: Site = ONE) -> tuple[str, str]:
    """The kind of a random change, and the command that makes it."""
    kinds = OF_PAIR if site.is_pair else KINDS
    kind = dice.choice([each for each in kinds if site.family == 4 or each not in OF_IPV4])
    command = kinds[kind](dice, site)
    return kind, command if site.family == 4 else in_ipv6(command)


def in_ipv6(command: str) -> str:
    """The same command for the other family."""
    for pattern, word in WORDS_OF_IPV6:
        command = re.sub(pattern, word, command)
    return command


def _match(dice: Dice, site: Site) -> str:
    words = []
    if dice.chance(0.5):
        words.append(f"-d {dice.choice(site.addresses)}")
    if dice.chance(0.4):
        words.append(f"-s {dice.choice(site.addresses)}")
    if dice.chance(0.4):
        protocol = dice.choice(["tcp", "udp"]) if site.is_pair else "tcp"
        words.append(
            f"-p {protocol} --{dice.choice(['dport', 'dport', 'sport'])} {dice.choice(PORTS)}"
        )
    if dice.chance(0.3):
        words.append(f"-m conntrack --ctstate {dice.choice(STATES)}")
    return " ".join(words)


def _iptables(dice: Dice, site: Site) -> str:
    tool = dice.choice(["iptables-nft", "iptables-nft", "iptables-legacy"])
    table, chain = dice.choice(
        [("filter", "INPUT"), ("filter", "FORWARD"), ("filter", "OUTPUT"), ("raw", "PREROUTING"),
         ("raw", "OUTPUT"), ("mangle", "PREROUTING"), ("mangle", "FORWARD"),
         ("mangle", "POSTROUTING")]
    )  # fmt: skip
    target = "DROP" if table != "filter" else dice.choice(["DROP", "REJECT", "ACCEPT"])
    place = dice.choice(["-A", "-I"])
    return (
        f"{where_in(dice, site)}{tool} -t {table} {place} {chain} {_match(dice, site)} -j {target}"
    )


def _policy(dice: Dice, site: Site) -> str:
    where, chain = where_in(dice, site), dice.choice(["INPUT", "FORWARD", "OUTPUT"])
    accept = f"{where}iptables-nft -A {chain} {_match(dice, site)} -j ACCEPT"
    return f"{accept}; {where}iptables-nft -P {chain} DROP"


def _port(dice: Dice, site: Site) -> str:
    return dice.choice(["tcp dport", "udp dport"]) if site.is_pair else "tcp dport"


def _nft(dice: Dice, site: Site) -> str:
    family = dice.choice(["ip", "inet"])
    hook = dice.choice(["prerouting", "input", "forward", "output", "postrouting"])
    words = [
        f"ip daddr {dice.choice(site.addresses)}" if dice.chance(0.5) else "",
        f"ip saddr {dice.choice(site.addresses)}" if dice.chance(0.4) else "",
        f"{_port(dice, site)} {dice.choice(PORTS)}" if dice.chance(0.4) else "",
        f"ct state {dice.choice(['new', 'established', 'invalid'])}" if dice.chance(0.3) else "",
    ]
    verdict = dice.choice(["drop", "accept"])
    priority = dice.choice([-350, -10, 0, 10])
    table = f"t{dice.randrange(10_000)}"
    rule = " ".join([*filter(None, words), "counter", verdict])
    chain = f"type filter hook {hook} priority {priority};"
    return (
        f"{where_in(dice, site)}nft 'table {family} {table} {{ chain c {{ {chain} {rule}; }}; }}'"
    )


def _bridge_rule(dice: Dice, site: Site) -> str:
    hook = dice.choice(["prerouting", "input", "forward", "output", "postrouting"])
    match = dice.choice(
        [f"ip daddr {dice.choice(site.addresses)}", f"iifname {dice.choice(site.pods).device}"]
    )
    rule = f"chain c {{ type filter hook {hook} priority 0; ether type ip {match} counter drop; }};"
    return f"nft 'table bridge t{dice.randrange(10_000)} {{ {rule} }}'"


def _arp_rule(dice: Dice, site: Site) -> str:
    hook = dice.choice(["input", "output"])
    flush = "; ".join(f"ip -n {each.name} neigh flush all" for each in site.pods)
    rule = f"chain c {{ type filter hook {hook} priority 0; policy drop; }};"
    return f"{where_in(dice, site)}nft 'table arp t {{ {rule} }}'; {flush}; ip neigh flush all"


def _sysctl(dice: Dice, site: Site) -> str:
    pod = dice.choice(site.pods)
    setting, value = dice.choice(
        [("arp_ignore", 8), ("arp_ignore", 1), ("arp_filter", 1), ("rp_filter", 1),
         ("rp_filter", 2), ("accept_local", 1), ("forwarding", 0), ("proxy_arp", 0),
         ("proxy_arp", 1)]
    )  # fmt: skip
    where = dice.choice([f"ip netns exec {pod.name} sysctl -qw net.ipv4.conf.eth0",
                         f"sysctl -qw net.ipv4.conf.{pod.device}",
                         "sysctl -qw net.ipv4.conf.cni0"])  # fmt: skip
    flush = f"ip -n {pod.name} neigh flush all; ip neigh flush all"
    return f"{where}.{setting}={value}; {flush}"


def _neighbour(dice: Dice, site: Site) -> str:
    pod, other = dice.sample(site.pods, 2)
    target = dice.choice([other.address, site.node.address, "169.254.1.1"])
    wrong = "lladdr 02:00:00:00:00:99 nud permanent"
    own = f"ip -n {pod.name} neigh replace {target} dev eth0 {wrong}"
    device = pod.device if pod.routed else "cni0"
    return dice.choice([own, f"ip neigh replace {site.own(pod)} dev {device} {wrong}"])


def _route(dice: Dice, site: Site) -> str:
    pod = dice.choice(["", *(each.name for each in site.pods)])
    inside = f"ip -n {pod}" if pod else "ip"
    kind = dice.choice(["blackhole", "unreachable", "prohibit", "local"])
    device = " dev lo" if kind == "local" else ""
    return f"{inside} route add {kind} {dice.choice(site.addresses)}/32{device}"


def _rule(dice: Dice, site: Site) -> str:
    pod = dice.choice(["", *(each.name for each in site.pods)])
    inside = f"ip -n {pod}" if pod else "ip"
    source, target = dice.choice(site.addresses), dice.choice(site.addresses)
    device = dice.choice(["cni0", "eth0", site.pods[2].device])
    selector = dice.choice([f"from {source}", f"to {target}", f"iif {device}"])
    return f"{inside} rule add prio {dice.randrange(1, 90)} {selector} blackhole"


def _tunnel(dice: Dice, site: Site) -> str:
    """What joins the nodes: entries of the tunnel and of its outer packets, routes, the wire."""
    other = next(each for each in NODES if each is not site.node)
    number, mac = other.address[-1], MACS[NODES.index(other)]
    return dice.choice(
        [f"bridge fdb del {mac} dev flannel.1 dst {other.address}",
         f"bridge fdb replace {mac} dev flannel.1 dst 192.0.2.77",
         f"ip neigh replace 10.244.{number}.0 lladdr 02:00:00:00:00:98 dev flannel.1 nud permanent",
         "ip link set flannel.1 down",
         "iptables-nft -A INPUT -p udp --dport 8472 -j DROP",
         "iptables-nft -t raw -A PREROUTING -p udp --dport 8472 -j CT --notrack",
         f"iptables-nft -A OUTPUT -d {other.address} -j DROP",
         f"ip route add blackhole {other.address}/32",
         f"ip neigh replace {other.address} lladdr 02:00:00:00:00:97 dev uplink nud permanent",
         "ip link set uplink down"]
    )  # fmt: skip


def _masquerade(dice: Dice, site: Site) -> str:
    """As CNI plugins do for what leaves the pods' network, and sometimes for too much."""
    source, to = dice.choice(site.addresses), dice.choice(site.addresses)
    match = dice.choice([f"-s {source}", f"-s {source} -d {to}", "-o uplink", "-o flannel.1"])
    return f"iptables-nft -t nat -A POSTROUTING {match} -j MASQUERADE"


def _translation(dice: Dice, site: Site) -> str:
    chain = dice.choice(["PREROUTING", "OUTPUT"])
    old, new = dice.sample(site.addresses, 2)
    protocol = dice.choice(["tcp", "udp"])
    match = f"-d {old} -p {protocol} --dport {dice.choice(PORTS)}"
    return f"iptables-nft -t nat -A {chain} {match} -j DNAT --to-destination {new}"


def _foreign_address(dice: Dice, site: Site) -> str:
    pod, other = dice.sample(site.pods, 2)
    where = dice.choice([f"ip -n {pod.name}", "ip"])
    return f"{where} address add {site.own(other)}/32 dev lo"


def _ports(dice: Dice, site: Site) -> str:
    first, second = site.pods[0].device, site.pods[1].device
    return dice.choice(
        [f"bridge link set dev {first} isolated on; bridge link set dev {second} isolated on",
         f"bridge link set dev {first} isolated on",
         f"bridge link set dev {first} flood off",
         f"bridge link set dev {first} state 4",
         f"ip link set {dice.choice(site.pods).device} down",
         "ip link set cni0 down"]
    )  # fmt: skip


def _policies(dice: Dice, site: Site) -> str:
    source, destination = dice.sample(site.addresses[:4], 2)
    direction = dice.choice(["in", "out", "fwd"])
    words = f"src {source} dst {destination} dir {direction} action block"
    return f"{where_in(dice, site)}ip xfrm policy add {words}"


def _ttl(dice: Dice, site: Site) -> str:
    chain = dice.choice(["PREROUTING", "OUTPUT", "FORWARD"])
    value = dice.choice([1, 2, 64])
    rule = f"{where_in(dice, site)}iptables-nft -t mangle -A {chain}"
    return f"{rule} {_match(dice, site)} -j TTL --ttl-set {value}"


def _untracked(dice: Dice, site: Site) -> str:
    chain = dice.choice(["PREROUTING", "OUTPUT"])
    return (
        f"{where_in(dice, site)}iptables-nft -t raw -A {chain} {_match(dice, site)} -j CT --notrack"
    )


KINDS: dict[str, Callable[[Dice, Site], str]] = {
    **single_changes.OF_IPV4,
    **single_changes.OF_BOTH,
    "iptables": _iptables,
    "policy of iptables": _policy,
    "nft": _nft,
    "nft bridge": _bridge_rule,
    "nft arp": _arp_rule,
    "sysctl": _sysctl,
    "neighbour": _neighbour,
    "route": _route,
    "routing rule": _rule,
    "foreign address": _foreign_address,
    "bridge port": _ports,
    "IPsec policy": _policies,
    "TTL": _ttl,
    "untracked": _untracked,
}
OF_PAIR = {
    **KINDS,
    "tunnel": _tunnel,
    "masquerade": _masquerade,
    "translation": _translation,
}
"""Between two nodes."""
OF_IPV4 = frozenset({"nft arp", "sysctl", "neighbour", "tunnel", *single_changes.OF_IPV4})
"""Changes that only concern IPv4."""
WORDS_OF_IPV6 = (
    (r"iptables-", "ip6tables-"),
    (r"\bip ([sd]addr)", r"ip6 \1"),
    (r"table ip ", "table ip6 "),
    (r"ether type ip ", "ether type ip6 "),
    (r"\bip (?=(?:-n \w+ )?(?:route|rule|address) )", "ip -6 "),
    (r"(address add \S+)", r"\1 nodad"),
    (r"/32\b", "/128"),
    (r"TTL --ttl-set", "HL --hl-set"),
)
