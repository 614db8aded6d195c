"""Random changes that make one kind of line decide: one setting, entry, route or rule each."""

from __future__ import annotations

from collections.abc import Callable

from testbed.referee.dice import Dice
from testbed.trace_referee.site import PORTS, Site, where_in


def _near(dice: Dice, site: Site) -> tuple[str, str]:
    """A pod on the bridge: its name, and the device at the node's end."""
    pod = dice.choice(site.pods[:2])
    return pod.name, pod.device


def _address(dice: Dice, site: Site) -> str:
    return dice.choice(site.addresses)


def _arp_ignore(dice: Dice, site: Site) -> str:
    name, _ = _near(dice, site)
    return f"ip netns exec {name} sysctl -qw net.ipv4.conf.eth0.arp_ignore=8"


def _by_another_device(dice: Dice, site: Site) -> tuple[str, str]:
    """A pod on the bridge, to whom the node sends by another device; no source is checked."""
    pod = dice.choice(site.pods[:2])
    return pod.address, f"ip route add {pod.address}/32 dev {site.pods[2].device}"


def _arp_filter(dice: Dice, site: Site) -> str:
    _, route = _by_another_device(dice, site)
    return f"{route}; sysctl -qw net.ipv4.conf.cni0.arp_filter=1"


def _rp_filter(dice: Dice, site: Site) -> str:
    _, route = _by_another_device(dice, site)
    return f"{route}; sysctl -qw net.ipv4.conf.cni0.rp_filter=1"


def _accept_local(dice: Dice, site: Site) -> str:
    """A pod has the address of another one, and does not answer for it."""
    name, _ = _near(dice, site)
    foreign = _address(dice, site)
    value = dice.choice([0, 0, 1])
    return (
        f"ip netns exec {name} sysctl -qw net.ipv4.conf.eth0.arp_ignore=1; "
        f"ip netns exec {name} sysctl -qw net.ipv4.conf.eth0.accept_local={value}; "
        f"ip -n {name} address add {foreign}/32 dev lo"
    )


def _proxy_arp(_: Dice, site: Site) -> str:
    return f"sysctl -qw net.ipv4.conf.{site.pods[2].device}.proxy_arp=0"


def _forwarding(dice: Dice, site: Site) -> str:
    device = dice.choice(["cni0", site.pods[2].device, "uplink"])
    return f"sysctl -qw net.ipv4.conf.{device}.forwarding=0"


def _localnet(dice: Dice, site: Site) -> str:
    where, value = _address(dice, site), dice.choice([0, 0, 1])
    return (
        f"iptables-nft -t nat -I PREROUTING -d {where} -j DNAT --to-destination 127.0.0.1; "
        f"sysctl -qw net.ipv4.conf.cni0.route_localnet={value}"
    )


def _refusing_route(kind: str) -> Callable[[Dice, Site], str]:
    def make(dice: Dice, site: Site) -> str:
        pod = dice.choice(["", *(each.name for each in site.pods)])
        inside = f"ip -n {pod}" if pod else "ip"
        return f"{inside} route add {kind} {_address(dice, site)}/32"

    return make


def _marked(dice: Dice, site: Site) -> str:
    """A mark by a rule of mangle, and a routing rule that asks for it."""
    chain, mark = dice.choice(["PREROUTING", "OUTPUT"]), dice.randrange(1, 200)
    match = f"-d {_address(dice, site)}" if dice.chance(0.6) else f"-s {_address(dice, site)}"
    return (
        f"iptables-nft -t mangle -A {chain} {match} -j MARK --set-mark {mark}; "
        f"ip rule add prio {dice.randrange(1, 90)} fwmark {mark} blackhole"
    )


def _by_source(dice: Dice, site: Site) -> str:
    return f"ip rule add prio {dice.randrange(1, 90)} from {_address(dice, site)} unreachable"


def _by_device(dice: Dice, site: Site) -> str:
    device = dice.choice(["cni0", "uplink", site.pods[2].device])
    to = f" to {_address(dice, site)}" if dice.chance(0.7) else ""
    return f"ip rule add prio {dice.randrange(1, 90)} iif {device}{to} prohibit"


def _isolated(_: Dice, site: Site) -> str:
    first, second = site.pods[0].device, site.pods[1].device
    return f"bridge link set dev {first} isolated on; bridge link set dev {second} isolated on"


def _static_entry(dice: Dice, site: Site) -> str:
    """The bridge sends what is for one pod to the other."""
    own, other = dice.sample(site.pods[:2], 2)
    mac = f"$(ip netns exec {own.name} cat /sys/class/net/eth0/address)"
    return f"bridge fdb replace {mac} dev {other.device} master static sticky"


def _port_state(dice: Dice, site: Site) -> str:
    _, device = _near(dice, site)
    # The timer of a new port would let listening and learning end.
    return f"bridge link set dev {device} state {dice.choice([0, 4])}"


def _small(dice: Dice, site: Site) -> str:
    """A device on the way with a smaller MTU than the sender's."""
    device = dice.choice(["cni0", "uplink", *(each.device for each in site.pods)])
    return f"ip link set dev {device} mtu {dice.choice([1000, 1280, 1400])}"


def _of_device(dice: Dice, site: Site) -> str:
    hook = dice.choice(["ingress", "ingress", "egress"])
    device = dice.choice(["uplink", *(each.device for each in site.pods)])
    match = f"ip {dice.choice(['daddr', 'saddr'])} {_address(dice, site)}"
    # Older versions of nft do not print the device: what matches is not decided.
    match += f" tcp dport {dice.choice(PORTS)}"
    head = f"type filter hook {hook} device {device} priority 0;"
    table = f"t{dice.randrange(10_000)}"
    return f"nft 'table netdev {table} {{ chain c {{ {head} {match} counter drop; }}; }}'"


def _source(dice: Dice, site: Site) -> str:
    chain = f"iptables-nft -t nat -A POSTROUTING -s {_address(dice, site)}"
    return f"{chain} -j SNAT --to-source {dice.choice([site.own_node, _address(dice, site)])}"


def _redirect(dice: Dice, site: Site) -> str:
    chain, port = dice.choice(["PREROUTING", "PREROUTING", "OUTPUT"]), dice.choice(PORTS[1:])
    protocol = dice.choice(["tcp", "udp"])
    match = f"-d {_address(dice, site)} -p {protocol}"
    return f"iptables-nft -t nat -I {chain} {match} -j REDIRECT --to-ports {port}"


def _zone(dice: Dice, site: Site) -> str:
    chain, where = dice.choice(["PREROUTING", "OUTPUT"]), where_in(dice, site)
    match = f"-{dice.choice('sd')} {_address(dice, site)}"
    return f"{where}iptables-nft -t raw -A {chain} {match} -j CT --zone 7"


OF_IPV4: dict[str, Callable[[Dice, Site], str]] = {
    "arp_ignore": _arp_ignore,
    "arp_filter": _arp_filter,
    "rp_filter": _rp_filter,
    "accept_local": _accept_local,
    "proxy_arp": _proxy_arp,
    "forwarding": _forwarding,
    "route_localnet": _localnet,
}
"""Settings that IPv6 does not have, or has elsewhere."""
OF_BOTH: dict[str, Callable[[Dice, Site], str]] = {
    "blackhole route": _refusing_route("blackhole"),
    "unreachable route": _refusing_route("unreachable"),
    "prohibit route": _refusing_route("prohibit"),
    "rule by mark": _marked,
    "rule by source": _by_source,
    "rule by device": _by_device,
    "isolated ports": _isolated,
    "static FDB entry": _static_entry,
    "port state": _port_state,
    "MTU": _small,
    "nft netdev": _of_device,
    "SNAT": _source,
    "REDIRECT": _redirect,
    "conntrack zone": _zone,
}
