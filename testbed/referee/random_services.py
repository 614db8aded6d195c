"""A random Service: any of the forms that the API allows and kube-proxy tells apart."""

from __future__ import annotations

from typing import Any

from testbed.referee.control_plane import NODE_PORTS
from testbed.referee.dice import Dice
from testbed.referee.node_object import ADDRESSES
from testbed.referee.scene import Object, metadata

MOST = (NODE_PORTS[1] - NODE_PORTS[0]) // 5 - 1
"""Services at one time: each has five node ports of its own."""

_FAMILIES = ((4,), (4,), (6,), (6,), (4, 6), (4, 6), (6, 4))
_KINDS = ("ClusterIP", "ClusterIP", "NodePort", "LoadBalancer", "LoadBalancer")
_POLICIES = ("Cluster", "Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_PROTOCOLS = ("TCP", "TCP", "UDP", "SCTP")
_SOURCE_RANGES = {
    4: (
        "203.0.113.0/24",
        "10.244.1.0/25",
        "10.0.0.0/8",
        "198.51.100.7/32",
        "172.31.0.0/16",
        "0.0.0.0/0",
    ),
    6: ("2001:db8:1::/48", "fd00:10:244::/56", "fd00:31::/64", "::/0"),
}
_SHARED = ("198.18.255.1", "198.18.255.2", "fd00:e:ffff::1")
"""External addresses that several Services claim."""

_ONLY_ONE = 7
"""The number of the one Service that may have the node's address where none is contested."""


def new_service(dice: Dice, name: str, number: int) -> Object:
    """A Service that holds the addresses and ports of a number, which nobody else has."""
    form = dice.choices(("usual", "headless", "ExternalName"), (92, 5, 3))[0]
    labels = {}
    if dice.chance(0.04):
        labels["service.kubernetes.io/service-proxy-name"] = "another"
    service: Object = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(name, labels),
        "spec": {},
        "status": {"loadBalancer": {}},
    }
    if form == "ExternalName":
        service["spec"] = {"type": form, "externalName": "www.example.test"}
        return service
    families = dice.choice(_FAMILIES)
    addresses = [cluster_ip(number, family) for family in families]
    if form == "headless":
        addresses = ["None"]
    service["spec"] = {
        "clusterIP": addresses[0],
        "clusterIPs": addresses,
        "ipFamilies": [f"IPv{family}" for family in families],
        "ipFamilyPolicy": "RequireDualStack" if len(families) > 1 else "SingleStack",
    }
    return changed_service(dice, service, number)


def changed_service(dice: Dice, before: Object, number: int) -> Object:
    """The same Service with everything new that may change."""
    if before["spec"].get("type") == "ExternalName":
        return {**before, "spec": {**before["spec"], "externalName": f"n{dice.random()}.test"}}
    kept = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
    spec: dict[str, Any] = {name: before["spec"][name] for name in kept}
    is_headless = spec["clusterIP"] == "None"
    kind = "ClusterIP" if is_headless else dice.choice(_KINDS)
    spec |= {
        "type": kind,
        "ports": _ports(dice, kind, number),
        "internalTrafficPolicy": "Cluster" if is_headless else dice.choice(_POLICIES),
        "publishNotReadyAddresses": dice.chance(0.1),
        **_affinity(dice),
    }
    if not is_headless and dice.chance(0.3):
        spec["externalIPs"] = _external_ips(dice, number)
    if kind != "ClusterIP" or "externalIPs" in spec:
        spec["externalTrafficPolicy"] = dice.choice(_POLICIES)
    if dice.chance(0.1):
        spec["trafficDistribution"] = dice.choice(_DISTRIBUTIONS)
    status: Object = {"loadBalancer": {}}
    if kind == "LoadBalancer":
        status["loadBalancer"]["ingress"] = _ingress(dice, number)
        spec |= _of_load_balancer(dice, spec, number)
    changed = {**before["metadata"], "annotations": _annotations(dice)}
    return {**before, "metadata": changed, "spec": spec, "status": status}


def cluster_ip(number: int, family: int) -> str:
    """The ClusterIP of a number."""
    v4 = f"10.96.{1 + number // 200}.{number % 200 + 1}"
    return v4 if family == 4 else f"fd00:96::1:{number + 1:x}"


def _annotations(dice: Dice) -> dict[str, str]:
    if not dice.chance(0.3):
        return {}
    key = dice.choice(("topology-mode", "topology-aware-hints"))
    value = dice.choice(("Auto", "auto", "disabled", "Disabled"))
    return {f"service.kubernetes.io/{key}": value}


def _affinity(dice: Dice) -> Object:
    if not dice.chance(0.25):
        return {"sessionAffinity": "None"}
    seconds = dice.choice((1, 600, 10800, 86400))
    config = {"clientIP": {"timeoutSeconds": seconds}}
    return {"sessionAffinity": "ClientIP", "sessionAffinityConfig": config}


def _ports(dice: Dice, kind: str, number: int) -> list[Object]:
    if dice.chance(0.4):
        node_port = _node_port(number, 0)
        return [_port(dice, kind, "", number=80, protocol="TCP", node_port=node_port)]
    ports: list[Object] = []
    for at in range(dice.randint(1, 3)):
        protocol = dice.choice(_PROTOCOLS)
        port, node_port = 8000 + at, _node_port(number, at)
        if at == 0 and dice.chance(0.5):
            port = 53
        elif at == 1 and ports[0]["protocol"] != protocol:
            # One number in two protocols, as DNS has it; then the node port may be one as well.
            port = ports[0]["port"]
            node_port = ports[0].get("nodePort", node_port)
        ports.append(
            _port(dice, kind, f"p{at}", number=port, protocol=protocol, node_port=node_port)
        )
    return ports


def _port(
    dice: Dice, kind: str, name: str, *, number: int, protocol: str, node_port: int
) -> Object:
    port: Object = {"port": number, "protocol": protocol, "targetPort": "named"}
    if name:
        port["name"] = name
    if kind == "NodePort" or (kind == "LoadBalancer" and dice.chance(0.7)):
        port["nodePort"] = node_port
    return port


def _node_port(number: int, at: int) -> int:
    return NODE_PORTS[0] + 5 * number + at


def _external_ips(dice: Dice, number: int) -> list[str]:
    own = [f"198.18.{number // 250}.{number % 250}", f"198.18.{100 + number // 250}.{number % 250}"]
    own += [f"fd00:e:{number:x}::1", f"fd00:e:{number:x}::2"]
    chosen = dice.some(own, 1, 4)
    if dice.chance(0.1) and (dice.contested or number == _ONLY_ONE):
        chosen.append(dice.choice(ADDRESSES))
    if dice.chance(0.07) and dice.contested:
        chosen.append(dice.choice(_SHARED))
    return chosen


def _of_load_balancer(dice: Dice, spec: Object, number: int) -> Object:
    fields: Object = {}
    if not all("nodePort" in port for port in spec["ports"]):
        # Otherwise the API would choose some, and not by our seed.
        fields["allocateLoadBalancerNodePorts"] = False
    if dice.chance(0.5):
        fields["loadBalancerSourceRanges"] = _source_ranges(dice)
    if spec["externalTrafficPolicy"] == "Local":
        fields["healthCheckNodePort"] = _node_port(number, 4)
    return fields


def _source_ranges(dice: Dice) -> list[str]:
    family = dice.choice((4, 4, 6))
    chosen = dice.some(_SOURCE_RANGES[family], 1, 3)
    if dice.chance(0.4):
        chosen += dice.some(_SOURCE_RANGES[10 - family], 1, 1)
    return [f" {each}" if dice.chance(0.1) else each for each in chosen]


def _ingress(dice: Dice, number: int) -> list[Object]:
    if dice.chance(0.1):
        return []
    own = [f"198.19.{number // 250}.{number % 250}", f"198.19.{100 + number // 250}.{number % 250}"]
    own += [f"fd00:1b:{number:x}::1", f"fd00:1b:{number:x}::2"]
    modes: tuple[Object, ...] = ({}, {"ipMode": "VIP"}, {"ipMode": "Proxy"})
    chosen = [{"ip": each, **dice.choice(modes)} for each in dice.some(own, 1, 3)]
    if dice.chance(0.05) and dice.contested:
        chosen.append({"ip": dice.choice(_SHARED)})
    if dice.chance(0.2):
        chosen.append({"hostname": "balancer.example.test"})
    return chosen
