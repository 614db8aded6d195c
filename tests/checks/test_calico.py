"""Further faults of a cluster with Calico, each one change to a recording of the healthy one."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.calico import Document, add_tables, changed, found

IPT, NFT = "healthy-iptables", "healthy-nftables"
RULES = "iptables-nft-save"
TUNNEL_OF_W2, MAC_OF_W2 = "10.244.85.128", "66:12:9f:aa:42:7f"
FRONT = "cali83f5e36a66d"
"""The device of a pod on tb-w2."""


@pytest.fixture
def with_change(tmp_path) -> Callable[..., Path]:
    """Makes a copy of a recording with a change to the document of one node."""

    def make(node: str, change: Callable[[Document], None], recording: str = IPT) -> Path:
        def only_there(name: str, document: Document) -> None:
            if recording == NFT:
                add_tables(recording, name, document)
            if name == node:
                change(document)

        return changed(recording, tmp_path, only_there)

    return make


def host(document: Document) -> dict[str, Any]:
    """The node's own netns."""
    return document["namespaces"][0]


def without(document: Document, kind: str, **fields: object) -> None:
    """Remove the entries of one kind that have these fields."""
    entries = host(document)[kind]
    left = [e for e in entries if any(e.get(name) != value for name, value in fields.items())]
    assert len(left) < len(entries)
    host(document)[kind] = left


def without_nft_rules(document: Document, chain: str) -> None:
    """Empty a chain of Calico's own table."""
    record = document["commands"]["nft-table ip calico"]
    table = json.loads(record["output"])
    table["nftables"] = [
        each for each in table["nftables"] if each.get("rule", {}).get("chain") != chain
    ]
    record["output"] = json.dumps(table)


def without_rule(document: Document, *words: str) -> None:
    """Remove the rules that contain all of these words."""
    lines = document["commands"][RULES]["output"].splitlines()
    left = [line for line in lines if not all(word in line for word in words)]
    assert len(left) < len(lines)
    document["commands"][RULES]["output"] = "\n".join(left) + "\n"


def link(document: Document, name: str) -> dict[str, Any]:
    """An interface of the node."""
    return next(each for each in host(document)["links"] if each["name"] == name)


class TestOverlay:
    def test_a_missing_neighbour_of_a_tunnel_is_found(self, with_change):
        def change(document):
            without(document, "neighbours", address=TUNNEL_OF_W2)

        where = f"Node tb-w1 neighbour {TUNNEL_OF_W2}"
        assert found(with_change("tb-w1", change), "overlay.peers_complete") == [
            ("tb-w1", where, "no entry")
        ]

    def test_without_neighbour_and_fdb_entry_the_pods_of_the_block_name_the_node(self, with_change):
        def change(document):
            without(document, "neighbours", address=TUNNEL_OF_W2)
            without(document, "fdb", mac=MAC_OF_W2)

        assert found(with_change("tb-w1", change), "overlay.peers_complete") == [
            ("tb-w1", f"Node tb-w1 neighbour {TUNNEL_OF_W2}", "no entry"),
            ("tb-w1", f"Node tb-w1 FDB {MAC_OF_W2}", "no entry"),
        ]

    def test_an_fdb_entry_that_leads_elsewhere_is_found(self, with_change):
        def change(document):
            for each in host(document)["fdb"]:
                each["destination"] = "172.30.0.10"

        findings = found(with_change("tb-w1", change), "overlay.peers_complete")
        assert findings == [("tb-w1", f"Node tb-w1 FDB {MAC_OF_W2}", "at 172.30.0.10")]

    def test_an_fdb_entry_of_a_node_that_is_gone_is_found(self, with_change):
        def change(document):
            entry = {"index": 2, "mac": "66:00:00:00:00:01", "destination": "172.30.0.77"}
            host(document)["fdb"].append(entry)

        folder = with_change("tb-w1", change)
        ((_, where, what),) = found(folder, "overlay.no_stale_peers")
        assert (where, what) == (
            "Node tb-w1 FDB 66:00:00:00:00:01",
            "at 172.30.0.77, on vxlan.calico",
        )
        assert found(folder, "overlay.peers_complete") == []

    def test_a_tunnel_device_that_is_down_is_found(self, with_change):
        def change(document):
            link(document, "vxlan.calico")["flags"] = ["BROADCAST"]

        ((node, _, what),) = found(with_change("tb-w2", change), "cni.devices_up")
        assert (node, what) == ("tb-w2", "vxlan.calico is DOWN")

    def test_a_tunnel_wider_than_the_wire_allows_is_found(self, with_change):
        def change(document):
            link(document, "vxlan.calico")["mtu"] = 1480

        findings = found(with_change("tb-w2", change), "overlay.mtu")
        assert findings == [("tb-w2", "Node tb-w2 vxlan.calico", "1480 bytes")]


class TestRoutes:
    def test_a_missing_route_to_a_block_is_found(self, with_change):
        def change(document):
            without(document, "routes", destination="10.244.85.128/26")

        findings = found(with_change("tb-w1", change), "routes.to_every_node")
        assert findings == [
            ("tb-w1", "Node tb-w1 route to pods of tb-w2", "default via 172.30.0.1 dev eth0")
        ]

    def test_a_route_to_the_tunnel_of_another_node_is_found(self, with_change):
        def change(document):
            for each in host(document)["routes"]:
                if each["destination"] == "10.244.85.128/26":
                    each["gateway"] = "10.244.220.0"

        ((_, _, what),) = found(with_change("tb-w1", change), "routes.to_every_node")
        assert what.endswith("via 10.244.220.0 dev vxlan.calico, which is node tb-cp")

    def test_routes_to_single_pods_of_another_nodes_block_pass(self, with_change):
        def change(document):
            without(document, "routes", destination="10.244.85.128/26")
            host(document)["routes"] += [
                {
                    "family": 4,
                    "destination": f"10.244.85.{last}/32",
                    "gateway": TUNNEL_OF_W2,
                    "index": link(document, "vxlan.calico")["index"],
                    "onlink": True,
                }
                for last in range(129, 147)
            ]

        folder = with_change("tb-w1", change)
        assert found(folder, "routes.to_every_node", "overlay.peers_complete") == []


class TestGateway:
    @pytest.mark.parametrize("state", ["FAILED", "INCOMPLETE"])
    def test_a_gateway_that_does_not_answer_is_found(self, with_change, state):
        def change(document):
            for netns in document["namespaces"][1:]:
                if any(each["address"] == "10.244.85.133" for each in netns["addresses"]):
                    netns["neighbours"] = [{"index": 2, "address": "169.254.1.1", "state": state}]

        ((_, where, what),) = found(with_change("tb-w2", change), "links.gateway_answers")
        assert where == "Pod shop/front-7c489ff494-wbz4h eth0"
        assert what == f"169.254.1.1 is {state} in the pod"

    def test_proxy_arp_of_all_devices_is_enough(self, with_change):
        def change(document):
            document["files"][f"/proc/sys/net/ipv4/conf/{FRONT}/proxy_arp"] = "0"
            document["files"]["/proc/sys/net/ipv4/conf/all/proxy_arp"] = "1"

        assert found(with_change("tb-w2", change), "links.gateway_answers") == []

    def test_a_permanent_neighbour_needs_no_answer(self, with_change):
        def change(document):
            document["files"][f"/proc/sys/net/ipv4/conf/{FRONT}/proxy_arp"] = "0"
            for netns in document["namespaces"][1:]:
                for each in netns["neighbours"]:
                    each["state"] = "PERMANENT"

        assert found(with_change("tb-w2", change), "links.gateway_answers") == []


class TestDispatch:
    @pytest.mark.parametrize(
        ("chain", "way"),
        [("cali-from-wl-dispatch-8", "what the pod sends"), ("cali-to-wl-dispatch-8", "is sent")],
    )
    def test_a_device_that_one_direction_lacks_is_found(self, with_change, chain, way):
        def change(document):
            without_rule(document, f"-A {chain} ", FRONT)

        ((_, where, what),) = found(with_change("tb-w2", change), "firewall.pod_interfaces")
        assert where == "Pod shop/front-7c489ff494-wbz4h eth0"
        assert what.startswith("no such rule: what")
        assert way in what

    def test_the_only_rule_of_all_devices_is_missed(self, with_change):
        def change(document):
            without_rule(document, "-A cali-from-wl-dispatch", " -i ")

        findings = found(with_change("tb-w2", change), "firewall.pod_interfaces")
        assert len(findings) == 7
        assert {what for _, _, what in findings} == {"no such rule: what the pod sends is dropped"}

    def test_other_names_of_devices_and_chains_make_no_difference(self, with_change):
        def rename(document):
            text = json.dumps(document)
            text = re.sub(r"\bcali(?=[0-9a-f]{11}\b|\+|8\+)", "azv", text)
            document.clear()
            document.update(json.loads(text))

        def change(document):
            rename(document)
            without_rule(document, "-A cali-to-wl-dispatch-8 ", FRONT.replace("cali", "azv"))

        folder = with_change("tb-w2", change)
        ((_, where, _),) = found(folder, "firewall.pod_interfaces")
        assert where == "Pod shop/front-7c489ff494-wbz4h eth0"
        assert found(folder, "services.frontends_programmed") == []

    def test_an_empty_chain_for_what_a_pod_sends_is_found(self, with_change):
        def change(document):
            without_rule(document, f"-A cali-fw-{FRONT} ")

        ((_, _, what),) = found(with_change("tb-w2", change), "firewall.pod_interfaces")
        assert what == f"chain cali-fw-{FRONT} is empty: no policy restricts what the pod sends"


class TestAnchors:
    @pytest.mark.parametrize("base", ["INPUT", "OUTPUT", "FORWARD"])
    def test_a_missing_jump_is_found(self, with_change, base):
        def change(document):
            without_rule(document, f"-A {base} ", f"-j cali-{base}")

        findings = found(with_change("tb-w2", change), "firewall.kubernetes_chains_called")
        assert findings == [("tb-w2", f"Node tb-w2 IPv4 {base}", "no such jump")]

    def test_a_missing_jump_in_calicos_own_table_is_found(self, with_change):
        def change(document):
            without_nft_rules(document, "filter-FORWARD")

        findings = found(with_change("tb-w2", change, NFT), "firewall.kubernetes_chains_called")
        where = "Node tb-w2 IPv4 filter-FORWARD of table ip calico"
        assert findings == [("tb-w2", where, "no such jump")]

    def test_without_the_accept_by_mark_the_policy_of_the_chain_drops(self, with_change):
        def change(document):
            without_rule(document, "-A FORWARD ", "Policy explicitly accepted packet.")
            record = document["commands"][RULES]
            record["output"] = record["output"].replace(":FORWARD ACCEPT", ":FORWARD DROP")
            filter_ = record["output"].index("*filter")
            assert ":FORWARD DROP" in record["output"][filter_:]

        findings = found(with_change("tb-w2", change), "firewall.forwards_pods")
        assert {node for node, _, _ in findings} == {"tb-w2"}


class TestNatOutgoing:
    def test_the_empty_chain_of_calicos_own_table_is_found(self, with_change):
        def change(document):
            without_nft_rules(document, "nat-cali-nat-outgoing")

        ((_, where, _),) = found(with_change("tb-w2", change, NFT), "pods.egress_uniform")
        assert where == "Node tb-w2"

    def test_nodes_of_a_cluster_without_nat_outgoing_are_alike(self, tmp_path):
        def change(_, document):
            without_rule(document, "-A cali-nat-outgoing ")

        assert found(changed(IPT, tmp_path, change), "pods.egress_uniform") == []


class TestServices:
    def test_a_missing_refusal_is_found(self, with_change):
        def change(document):
            without_rule(document, "shop/empty:http has no endpoints")

        ((node, where, what),) = found(
            with_change("tb-w1", change), "services.frontends_programmed"
        )
        assert (node, what) == ("tb-w1", "not handled")
        assert "10.96.60.166:80/tcp" in where

    def test_many_sets_in_policies_leave_the_refusal_known(self, with_change):
        """Policies with sets of destinations: each set may or may not contain the Service."""

        def change(document):
            chain = "cali-po-knp/sealed/no-egress"
            rules = "\n".join(
                f"-A {chain} -m set --match-set cali40s:{at:023} dst -j MARK --set-xmark "
                f"0x10000/0x10000\n-A {chain} -m mark --mark 0x10000/0x10000 -j RETURN"
                for at in range(20)
            )
            record = document["commands"][RULES]
            last = record["output"].index("-A cali-pri-")
            record["output"] = f"{record['output'][:last]}{rules}\n{record['output'][last:]}"

        assert found(with_change("tb-w2", change), "services.frontends_programmed") == []


class TestPrograms:
    def attached(self, *lacking: str) -> Callable[[Document], None]:
        """The programs of the eBPF dataplane on all pods' devices except some."""

        def change(document):
            host(document)["programs"] = [
                {
                    "index": e["index"],
                    "hook": "tc ingress",
                    "kind": "bpf",
                    "name": "cali_tc_preambl",
                }
                for e in host(document)["links"]
                if e["name"].startswith("cali") and e["name"] not in lacking
            ]

        return change

    def test_a_pods_device_without_the_program_of_the_others_is_found(self, with_change):
        ((node, where, what),) = found(with_change("tb-w2", self.attached(FRONT)), "links.attached")
        assert (node, where) == ("tb-w2", "Pod shop/front-7c489ff494-wbz4h eth0")
        assert what.startswith(
            "no such program: the pod's packets take the node's routes, past Cal"
        )

    def test_with_all_of_them_nothing_is_found(self, with_change):
        assert found(with_change("tb-w2", self.attached()), "links.attached") == []
