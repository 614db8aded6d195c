"""The nodes' network, from which nothing leaves."""

from __future__ import annotations

import ipaddress
import json

from testbed.commands import attempt, run
from testbed.layout import (
    BRIDGE,
    LABEL,
    NETWORK,
    POD_RANGE,
    POD_RANGE_V6,
    SERVICE_RANGE,
    SERVICE_RANGE_V6,
    SUBNET_V6,
    Layout,
    Range,
)

_PROTOCOL = "213"
"""The routing protocol number that marks the blackhole routes as ours."""

_HANDED_ON = ["DOCKER-USER", "-i", BRIDGE, "-o", BRIDGE, "-j", "ACCEPT"]
"""The rule that lets frames between the nodes pass, whatever addresses their packets have."""

_FIREWALLS = ("iptables", "ip6tables")
_TRIES = 10
"""Times that a rule is deleted: more than an interrupted start can have left of it."""


def ranges_in_use() -> list[Range]:
    """The destinations that this machine routes, and the subnets of Docker's networks."""
    routes = json.loads(run(["ip", "-json", "-4", "route", "show"]) or "[]")
    used = [_range(r["dst"]) for r in routes if r.get("protocol") != _PROTOCOL]
    names = run(["docker", "network", "ls", "--format", "{{.Name}}"]).split()
    for network in json.loads(run(["docker", "network", "inspect", *names])):
        used += [_range(c["Subnet"]) for c in network["IPAM"]["Config"] or () if "Subnet" in c]
    return [u for u in used if u is not None]


def _range(text: str) -> Range | None:
    if text == "default" or ":" in text:
        return None
    return ipaddress.IPv4Network(text, strict=False)


def create(layout: Layout) -> None:
    """Make the network, and make sure that nothing from the cluster is routed elsewhere."""
    options = ["--internal", "--label", LABEL, "--subnet", layout.subnet]
    options += ["--gateway", layout.gateway, "-o", f"com.docker.network.bridge.name={BRIDGE}"]
    if layout.dual_stack:
        options += ["--ipv6", "--subnet", SUBNET_V6]
    run(["docker", "network", "create", *options, NETWORK])
    # While kube-proxy is not ready, packets to Service addresses follow the default route,
    # and somebody out there may even answer them.
    for destination in (POD_RANGE, SERVICE_RANGE):
        run(["ip", "route", "replace", "blackhole", destination, "proto", _PROTOCOL])
    for destination in (POD_RANGE_V6, SERVICE_RANGE_V6) if layout.dual_stack else ():
        run(["ip", "-6", "route", "replace", "blackhole", destination, "proto", _PROTOCOL])


def hand_on_pod_addresses() -> None:
    """Let the bridge hand on packets with pods' addresses, for a network without encapsulation.

    With `bridge-nf-call-iptables` the kernel sends bridged packets through FORWARD as well, where
    Docker drops what enters or leaves an internal network with an address of another subnet. All
    nodes would be Ready and all pods Running, and no pod would reach another node. The rule only
    matches between two ports of the bridge, so the network stays internal.
    """
    for program in _FIREWALLS:
        # Docker isolates only the families for which it has this chain.
        if attempt([program, "-w", "-n", "-L", "DOCKER-USER"]).status == 0:
            run([program, "-w", "-I", *_HANDED_ON])


def remove() -> None:
    """Remove the network, the routes and the rule, if they are there and ours."""
    found = run(["docker", "network", "ls", "--quiet", "--filter", f"label={LABEL}"]).split()
    for network in found:
        run(["docker", "network", "rm", network])
    for destination in (POD_RANGE, SERVICE_RANGE):
        attempt(["ip", "route", "del", "blackhole", destination, "proto", _PROTOCOL])
    for destination in (POD_RANGE_V6, SERVICE_RANGE_V6):
        attempt(["ip", "-6", "route", "del", "blackhole", destination, "proto", _PROTOCOL])
    for program in _FIREWALLS:
        _delete_all(program)


def _delete_all(program: str) -> None:
    for _ in range(_TRIES):
        if attempt([program, "-w", "-D", *_HANDED_ON]).status:
            return


def remains() -> list[str]:
    """What is left of a network that was removed: nothing, if all is well."""
    left = [
        f"Docker network {name}"
        for name in run(
            ["docker", "network", "ls", "--filter", f"label={LABEL}", "--format", "{{.Name}}"]
        ).split()
    ]
    for family in ("-4", "-6"):
        routes = run(["ip", family, "route", "show", "proto", _PROTOCOL]).splitlines()
        left += [f"route {route.strip()}" for route in routes if route.strip()]
    return left + [
        f"a rule of {program} in DOCKER-USER"
        for program in _FIREWALLS
        if attempt([program, "-w", "-C", *_HANDED_ON]).status == 0
    ]
