"""Only rules of others shadow a Service; kube-proxy's own are wrong."""

import re

from tests.dataplane import recorded
from tests.dataplane.test_recorded_nodes import RecordedNode
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Kind
from wirecheck.dataplane.compare.summary import summarised
from wirecheck.dataplane.nftables.reader import read_nftables

ASTRAY = {Kind.BACKEND_STALE, Kind.BACKEND_MISSING}


def test_a_redirected_endpoint_of_nftables_is_kube_proxys_own() -> None:
    wanted = recorded.expected("1.35.4", "nftables")
    text = re.sub(
        r'("dnat": \{"addr": )"[\d.]+"', r'\1"192.0.2.1"', recorded.nft("1.35.4"), count=1
    )
    clients = recorded.clients("1.35.4", "nftables")
    found = compare(wanted, read_nftables({4: text}, clients, also=wanted.entries))
    assert {each.kind for each in summarised(wanted, found).single} == ASTRAY


def test_a_redirected_real_server_is_kube_proxys_own() -> None:
    node = RecordedNode("ipvs")
    backend = min(re.findall(r"-> [0-9A-F]{8}:[0-9A-F]{4} ", node.texts["ip_vs"]))
    node.texts["ip_vs"] = node.texts["ip_vs"].replace(backend, "-> C0000201:0001 ")
    found = summarised(node.wanted, node.differences())
    assert {each.kind for each in found.single} == ASTRAY
