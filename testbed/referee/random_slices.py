"""Random EndpointSlices of a Service."""

from __future__ import annotations

from collections.abc import Iterator

from testbed.referee.dice import Dice
from testbed.referee.node_object import ADDRESSES, NODES, ZONES
from testbed.referee.scene import Object, metadata

_READY = {"ready": True, "serving": True, "terminating": False}
_UNREADY = {"ready": False, "serving": False, "terminating": False}
_DRAINING = {"ready": False, "serving": True, "terminating": True}
_ENDING = {"ready": False, "serving": False, "terminating": True}
_PARTLY: tuple[dict[str, bool], ...] = ({"ready": False}, {"terminating": True}, {"serving": True})
"""What is not said is true, but for terminating."""
_STYLES: dict[str, tuple[dict[str, bool], ...]] = {
    "usual": (_READY, _READY, _READY, {}, _UNREADY, _DRAINING),
    "terminating": (_DRAINING, _ENDING),
    "unready": (_UNREADY, _ENDING),
    "partly": (*_PARTLY, _READY),
    # Of publishNotReadyAddresses: ready, whatever else.
    "published": ({"ready": True, "serving": False, "terminating": True}, _READY),
    "none": ({},),
}


def random_slices(dice: Dice, service: Object) -> tuple[Object, ...]:
    """The slices of all families of a Service; one without a selector may have any."""
    families = [int(each[-1]) for each in service["spec"].get("ipFamilies", ["IPv4"])]
    if dice.chance(0.05):
        # Of a family that the Service does not have.
        families = [4, 6]
    return tuple(each for family in families for each in _of_family(dice, service, family))


def _of_family(dice: Dice, service: Object, family: int) -> Iterator[Object]:
    style = dice.choices(tuple(_STYLES), (60, 12, 8, 6, 6, 12))[0]
    hints = dice.choice(("", "", "zone", "node", "partial", "both"))
    name = service["metadata"]["name"]
    ports = service["spec"].get("ports", [])
    for part in range(dice.choices((1, 2, 3), (60, 30, 10))[0]):
        count = 0 if style == "none" else dice.randint(0, 5)
        endpoints = [_endpoint(dice, family, style, hints) for _ in range(count)]
        if dice.chance(0.1) and endpoints:
            endpoints.append({**endpoints[0], "conditions": dice.choice(_STYLES["usual"])})
        if dice.chance(0.02):
            # Nobody's endpoints: kube-proxy does not look at names.
            yield _of_names(f"{name}-{family}-{part}-names", service, ports)
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata(f"{name}-{family}-{part}", _labels(dice, service)),
            "addressType": f"IPv{family}",
            "endpoints": endpoints,
            "ports": _ports(dice, ports, part),
        }


def _of_names(name: str, service: Object, ports: list[Object]) -> Object:
    """A slice of addresses that are names."""
    labels = {"kubernetes.io/service-name": service["metadata"]["name"]}
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": metadata(name, labels),
        "addressType": "FQDN",
        "endpoints": [{"addresses": ["www.example.test"], "conditions": _READY}],
        "ports": [
            {"name": each.get("name", ""), "port": 8080, "protocol": each["protocol"]}
            for each in ports
        ],
    }


def _labels(dice: Dice, service: Object) -> dict[str, str]:
    labels = {"kubernetes.io/service-name": service["metadata"]["name"]}
    is_headless = service["spec"].get("clusterIP") == "None"
    if is_headless or dice.chance(0.01):
        labels["service.kubernetes.io/headless"] = ""
    if dice.chance(0.02):
        labels["service.kubernetes.io/service-proxy-name"] = "another"
    return labels


def with_numbers(slice_: Object) -> Object:
    """The slice without its ports that have no number."""
    return {**slice_, "ports": [each for each in slice_["ports"] if "port" in each]}


def _ports(dice: Dice, ports: list[Object], part: int) -> list[Object]:
    """Joined to the Service's by name; what a named target port is differs between slices."""
    target = 8080 + part * dice.randint(0, 1)
    chosen: list[Object] = [
        {"name": each.get("name", ""), "port": target + at, "protocol": each["protocol"]}
        for at, each in enumerate(ports)
        if not dice.chance(0.05)
    ]
    if dice.chance(0.1) and chosen:
        chosen[0]["protocol"] = dice.choice(("TCP", "UDP", "SCTP"))
    if dice.chance(0.03) and chosen:
        # Every port, which is none that a Service could lead to.
        del chosen[-1]["port"]
    if dice.chance(0.2):
        chosen.append({"name": "unused", "port": 1, "protocol": "TCP"})
    return chosen


def _endpoint(dice: Dice, family: int, style: str, hints: str) -> Object:
    at = dice.randrange(len(NODES))
    node = NODES[at]
    endpoint: Object = {
        "addresses": _addresses(dice, family, at),
        "conditions": dice.choice(_STYLES[style]),
        "zone": dice.choice(ZONES),
    }
    if not dice.chance(0.05):
        endpoint["nodeName"] = node
    if hints and not (hints == "partial" and dice.chance(0.3)):
        endpoint["hints"] = _hints(dice, hints)
    return endpoint


def _addresses(dice: Dice, family: int, at: int) -> list[str]:
    if dice.chance(0.04):
        # On the host network, or outside of the cluster.
        outside = ("172.31.0.77", "fd00:31::77")
        return [dice.choice((ADDRESSES, outside))[0 if family == 4 else 1]]
    chosen = [_pod_address(family, at, dice.randint(2, 60))]
    if dice.chance(0.05):
        # Consumers of EndpointSlices must not use any but the first.
        chosen.append(_pod_address(family, at, 250))
    return chosen


def _pod_address(family: int, at: int, number: int) -> str:
    v4 = f"10.244.{at + 1}.{number}"
    return v4 if family == 4 else f"fd00:10:244:{at + 1}::{number:x}"


def _hints(dice: Dice, style: str) -> Object:
    hints: Object = {}
    if style != "node":
        hints["forZones"] = [{"name": each} for each in dice.some(ZONES, 1, 2)]
    if style in ("node", "both"):
        hints["forNodes"] = [{"name": each} for each in dice.some(NODES, 1, 2)]
    return hints
