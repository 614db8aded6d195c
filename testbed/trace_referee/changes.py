"""Random changes to a world: each has the kind of line that it adds, and a command."""

from __future__ import annotations

from collections.abc import Callable

from testbed.referee.dice import Dice
from testbed.trace_referee.world import NODE_ADDRESS, PODS

SERVICE = "10.96.0.50"
ADDRESSES = (*(each.address for each in PODS), NODE_ADDRESS, SERVICE)
PORTS = (80, 8080, 9090)
STATES = ("NEW", "ESTABLISHED", "RELATED,ESTABLISHED", "INVALID", "NEW,ESTABLISHED")


def change(dice: Dice) -> tuple[str, str]:
    """The kind of a random change, and the command that makes it."""
    kind = dice.choice(list(KINDS))
    return kind, KINDS[kind](dice)


def _where(dice: Dice) -> str:
    """A prefix of a command: in a pod's netns, or on the node."""
    pod = dice.choice(["", *(each.name for each in PODS)])
    return f"ip netns exec {pod} " if pod else ""


def _match(dice: Dice) -> str:
    words = []
    if dice.chance(0.5):
        words.append(f"-d {dice.choice(ADDRESSES)}")
    if dice.chance(0.4):
        words.append(f"-s {dice.choice(ADDRESSES)}")
    if dice.chance(0.4):
        words.append(f"-p tcp --{dice.choice(['dport', 'dport', 'sport'])} {dice.choice(PORTS)}")
    if dice.chance(0.3):
        words.append(f"-m conntrack --ctstate {dice.choice(STATES)}")
    return " ".join(words)


def _iptables(dice: Dice) -> str:
    tool = dice.choice(["iptables-nft", "iptables-nft", "iptables-legacy"])
    table, chain = dice.choice(
        [("filter", "INPUT"), ("filter", "FORWARD"), ("filter", "OUTPUT"), ("raw", "PREROUTING"),
         ("raw", "OUTPUT"), ("mangle", "PREROUTING"), ("mangle", "FORWARD"),
         ("mangle", "POSTROUTING")]
    )  # fmt: skip
    target = "DROP" if table != "filter" else dice.choice(["DROP", "REJECT", "ACCEPT"])
    place = dice.choice(["-A", "-I"])
    return f"{_where(dice)}{tool} -t {table} {place} {chain} {_match(dice)} -j {target}"


def _policy(dice: Dice) -> str:
    where, chain = _where(dice), dice.choice(["INPUT", "FORWARD", "OUTPUT"])
    accept = f"{where}iptables-nft -A {chain} {_match(dice)} -j ACCEPT"
    return f"{accept}; {where}iptables-nft -P {chain} DROP"


def _nft(dice: Dice) -> str:
    family = dice.choice(["ip", "inet"])
    hook = dice.choice(["prerouting", "input", "forward", "output", "postrouting"])
    words = [
        f"ip daddr {dice.choice(ADDRESSES)}" if dice.chance(0.5) else "",
        f"ip saddr {dice.choice(ADDRESSES)}" if dice.chance(0.4) else "",
        f"tcp dport {dice.choice(PORTS)}" if dice.chance(0.4) else "",
        f"ct state {dice.choice(['new', 'established', 'invalid'])}" if dice.chance(0.3) else "",
    ]
    verdict = dice.choice(["drop", "accept"])
    priority = dice.choice([-350, -10, 0, 10])
    table = f"t{dice.randrange(10_000)}"
    rule = " ".join([*filter(None, words), verdict])
    chain = f"type filter hook {hook} priority {priority};"
    return f"{_where(dice)}nft 'table {family} {table} {{ chain c {{ {chain} {rule}; }}; }}'"


def _bridge_rule(dice: Dice) -> str:
    hook = dice.choice(["prerouting", "input", "forward", "output", "postrouting"])
    match = dice.choice(
        [f"ip daddr {dice.choice(ADDRESSES)}", f"iifname {dice.choice(PODS).device}"]
    )
    rule = f"chain c {{ type filter hook {hook} priority 0; ether type ip {match} drop; }};"
    return f"nft 'table bridge t{dice.randrange(10_000)} {{ {rule} }}'"


def _arp_rule(dice: Dice) -> str:
    hook = dice.choice(["input", "output"])
    flush = "; ".join(f"ip -n {each.name} neigh flush all" for each in PODS)
    rule = f"chain c {{ type filter hook {hook} priority 0; policy drop; }};"
    return f"{_where(dice)}nft 'table arp t {{ {rule} }}'; {flush}; ip neigh flush all"


def _sysctl(dice: Dice) -> str:
    pod = dice.choice(PODS)
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


def _neighbour(dice: Dice) -> str:
    pod, other = dice.sample(PODS, 2)
    target = dice.choice([other.address, NODE_ADDRESS, "169.254.1.1"])
    wrong = "lladdr 02:00:00:00:00:99 nud permanent"
    own = f"ip -n {pod.name} neigh replace {target} dev eth0 {wrong}"
    device = pod.device if pod.routed else "cni0"
    return dice.choice([own, f"ip neigh replace {pod.address} dev {device} {wrong}"])


def _route(dice: Dice) -> str:
    pod = dice.choice(["", *(each.name for each in PODS)])
    inside = f"ip -n {pod}" if pod else "ip"
    kind = dice.choice(["blackhole", "unreachable", "prohibit", "local"])
    device = " dev lo" if kind == "local" else ""
    return f"{inside} route add {kind} {dice.choice(ADDRESSES)}/32{device}"


def _rule(dice: Dice) -> str:
    pod = dice.choice(["", *(each.name for each in PODS)])
    inside = f"ip -n {pod}" if pod else "ip"
    selector = dice.choice([f"from {dice.choice(ADDRESSES)}", f"to {dice.choice(ADDRESSES)}",
                            f"iif {dice.choice(['cni0', 'eth0', PODS[2].device])}"])  # fmt: skip
    return f"{inside} rule add prio {dice.randrange(1, 90)} {selector} blackhole"


def _foreign_address(dice: Dice) -> str:
    pod, other = dice.sample(PODS, 2)
    where = dice.choice([f"ip -n {pod.name}", "ip"])
    return f"{where} address add {other.address}/32 dev lo"


def _ports(dice: Dice) -> str:
    first, second = PODS[0].device, PODS[1].device
    return dice.choice(
        [f"bridge link set dev {first} isolated on; bridge link set dev {second} isolated on",
         f"bridge link set dev {first} isolated on",
         f"bridge link set dev {first} flood off",
         f"bridge link set dev {first} state 4",
         f"ip link set {dice.choice(PODS).device} down",
         "ip link set cni0 down"]
    )  # fmt: skip


def _policies(dice: Dice) -> str:
    source, destination = dice.sample(ADDRESSES[:4], 2)
    direction = dice.choice(["in", "out", "fwd"])
    words = f"src {source} dst {destination} dir {direction} action block"
    return f"{_where(dice)}ip xfrm policy add {words}"


def _ttl(dice: Dice) -> str:
    chain = dice.choice(["PREROUTING", "OUTPUT", "FORWARD"])
    value = dice.choice([1, 2, 64])
    return (
        f"{_where(dice)}iptables-nft -t mangle -A {chain} {_match(dice)} -j TTL --ttl-set {value}"
    )


def _untracked(dice: Dice) -> str:
    chain = dice.choice(["PREROUTING", "OUTPUT"])
    return f"{_where(dice)}iptables-nft -t raw -A {chain} {_match(dice)} -j CT --notrack"


KINDS: dict[str, Callable[[Dice], str]] = {
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
