"""Further faults of a cluster with kind's wiring, each one change to the healthy recording."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.changed_recordings import Document, changed, found
from tests.test_network_recordings import FOLDER

NODE = "td-w2"
DB, DEVICE = "10.244.2.13/32", "veth491132cb"


@pytest.fixture
def with_change(tmp_path) -> Callable[[Callable[[Document], None]], Path]:
    """Makes a copy of the recording with a change to the document of one node."""

    def make(change: Callable[[Document], None]) -> Path:
        def only_there(name: str, document: Document) -> None:
            if name == NODE:
                change(document)

        return changed(FOLDER / "kind-healthy", tmp_path, only_there)

    return make


def route(document: Document, destination: str) -> dict[str, Any]:
    return next(e for e in document["namespaces"][0]["routes"] if e["destination"] == destination)


def test_a_pods_route_through_the_device_of_another_pod_is_found(with_change):
    def change(document):
        links = document["namespaces"][0]["links"]
        other = next(
            e for e in links if e.get("kind") == "veth" and e["name"] not in ("eth0", DEVICE)
        )
        route(document, DB)["index"] = other["index"]

    ((node, where, what),) = found(with_change(change), "links.attached")
    assert (node, where) == (NODE, "Pod shop/db-1 eth0")
    assert what == "on no bridge, and not the device of a route to the pod"


def test_a_pods_route_that_is_gone_is_found(with_change):
    def change(document):
        document["namespaces"][0]["routes"].remove(route(document, DB))

    assert [where for _, where, _ in found(with_change(change), "links.attached")] == [
        "Pod shop/db-1 eth0"
    ]


@pytest.mark.parametrize("gateway", ["172.29.0.10", "172.29.0.1"])
def test_a_route_to_another_node_by_a_wrong_gateway_is_found(with_change, gateway):
    def change(document):
        route(document, "10.244.1.0/24")["gateway"] = gateway

    ((node, where, what),) = found(with_change(change), "routes.to_every_node")
    assert (node, where) == (NODE, f"Node {NODE} route to 10.244.1.0/24")
    assert f"via {gateway}" in what


def test_a_rule_that_drops_one_direction_is_found(with_change):
    def change(document):
        save = document["commands"]["iptables-nft-save"]
        hook = "-A FORWARD -m conntrack --ctstate NEW"
        drop = "-A FORWARD -s 10.244.0.0/16 -d 10.244.2.0/24 -j DROP"
        assert hook in save["output"]
        save["output"] = save["output"].replace(hook, f"{drop}\n{hook}", 1)

    findings = found(with_change(change), "firewall.forwards_pods")
    assert {where for _, where, _ in findings} == {
        f"Node {NODE} FORWARD from pods of td-cp",
        f"Node {NODE} FORWARD from pods of td-w1",
    }


def test_masquerading_that_is_gone_is_found(with_change):
    def change(document):
        save = document["commands"]["iptables-nft-save"]
        lines = save["output"].split("\n")
        left = [e for e in lines if not ("KIND-MASQ-AGENT" in e and e.startswith("-A POSTROUTING"))]
        assert len(left) < len(lines)
        save["output"] = "\n".join(left)

    assert [node for node, _, _ in found(with_change(change), "pods.egress_masqueraded")] == [NODE]
