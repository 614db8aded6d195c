"""Rules that frames and ARP meet: of bridges, of devices, and programs of bridge ports."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from tests.changed_recordings import Document
from tests.paths.conftest import FAR_GATEWAY, NEAR_GATEWAY, WEB, complete, on
from tests.paths.test_dying import added, dies, forgotten, host

TO_NEAR = {
    "match": {
        "op": "==",
        "left": {"payload": {"protocol": "ip", "field": "daddr"}},
        "right": "10.244.2.12",
    }
}
DROP = {"drop": None}


def linked(
    family: str,
    hook: str,
    *expressions: object,
    policy: str = "accept",
    node: str = "wc-w2",
    **chain: object,
) -> object:
    """A table of frames on a node, with one base chain and one rule."""
    own = {"family": family, "table": "guard"}
    base = {**own, "name": "c", "type": "filter", "hook": hook, "prio": 0, "policy": policy}
    listed: list[Document] = [
        {"table": {"family": family, "name": "guard", "handle": 1}},
        {"chain": {**base, "handle": 1, **chain}},
    ]
    if expressions:
        listed.append({"rule": {**own, "chain": "c", "handle": 2, "expr": list(expressions)}})

    def change(document: Document) -> None:
        document["commands"]["nft-tables"]["output"] += f"table {family} guard\n"
        record = {"argv": ["nft"], "status": 0, "output": json.dumps({"nftables": listed})}
        document["commands"][f"nft-table {family} guard"] = record

    return on(node, change)


def port(name: str) -> Document:
    left = {"meta": {"key": "iifname"}}
    return {"match": {"op": "==", "left": left, "right": name}}


@pytest.mark.parametrize(
    ("hook", "rule", "to", "result"),
    [
        ("forward", [TO_NEAR, DROP], NEAR_GATEWAY, "dies"),
        ("forward", [TO_NEAR, DROP], FAR_GATEWAY, "reaches"),
        ("prerouting", [DROP], NEAR_GATEWAY, "dies"),
        ("input", [DROP], NEAR_GATEWAY, "reaches"),
        ("input", [DROP], FAR_GATEWAY, "dies"),
        ("output", [DROP], NEAR_GATEWAY, "reaches"),
        ("output", [DROP], FAR_GATEWAY, "dies"),
        ("forward", [port("veth0"), DROP], NEAR_GATEWAY, "reaches"),
        ("forward", [{"limit": {"rate": 1}}, DROP], NEAR_GATEWAY, "cannot be decided"),
    ],
)
def test_rules_of_a_bridge(traced, hook: str, rule: Iterable[object], to: str, result: str) -> None:
    view = traced(WEB, to, complete, linked("bridge", hook, *rule))

    assert view.result == result, view.reason
    if result == "dies":
        assert dies(view)[1] == f"bridge {hook}"
        assert dies(view)[3].startswith("nftables table bridge guard: chain c: ")


@pytest.mark.parametrize(
    ("hook", "dev", "result"),
    [
        ("ingress", "flannel.1", "dies"),
        ("egress", "flannel.1", "reaches"),
        ("ingress", ["eth1", "flannel.1"], "dies"),
        ("ingress", "eth7", "reaches"),
        ("ingress", "", "cannot be decided"),
    ],
)
def test_rules_of_a_device(traced, hook: str, dev: object, result: str) -> None:
    rule = linked(
        "netdev", hook, {**TO_NEAR, "match": _to("10.244.1.9")}, DROP, node="wc-w1", dev=dev
    )
    view = traced(WEB, FAR_GATEWAY, complete, rule, one_way=True)

    assert view.result == result, view.reason


def _to(address: str) -> Document:
    return {**TO_NEAR["match"], "right": address}


@pytest.mark.parametrize(
    ("hook", "is_asked", "result"),
    [("output", True, "dies"), ("input", True, "dies"), ("output", False, "reaches")],
)
def test_rules_for_arp(traced, hook: str, is_asked: bool, result: str) -> None:
    """They matter only where the address has to be asked for."""
    changes = [on("wc-w1", forgotten("10.244.1.9"))] if is_asked else []
    rule = linked("arp", hook, policy="drop", node="wc-w1")
    view = traced(WEB, FAR_GATEWAY, complete, rule, *changes)

    assert view.result == result, view.reason
    if is_asked:
        assert dies(view)[:2] == ("wc-w1", "neighbour on cni0")


@pytest.mark.parametrize("hook", ["tc ingress", "tc egress"])
def test_a_filter_of_a_bridge_port(traced, hook: str) -> None:
    """Frames between two ports do not meet the devices of the IP layer."""
    index = _port_index(traced)
    drop = added("programs", index=index, hook=hook, kind="matchall", name="drop")
    view = traced(WEB, NEAR_GATEWAY, complete, on("wc-w2", host(drop)))

    assert dies(view)[1] == f"{hook.removeprefix('tc ')} of veth92562b85"


def _port_index(traced) -> int:
    found: list[int] = []

    def find(document: Document) -> None:
        links = document["namespaces"][0]["links"]
        found.extend(e["index"] for e in links if e["name"] == "veth92562b85")

    traced(WEB, NEAR_GATEWAY, on("wc-w2", find))
    return found[0]
