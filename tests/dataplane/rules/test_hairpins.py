"""Connections of a pod to itself, of a Service that may be programmed in several ways."""

import json

from testbed.referee.mutation import with_text
from tests.dataplane.test_node_port_addresses import sight


def test_a_hairpin_is_missed_whichever_way_a_service_is_programmed() -> None:
    one = sight("nftables-1.34.4-hairpin")
    assert not one.disagreements
    listing = json.loads(one.document.commands["nft-kube-proxy6"].output)
    endpoint = "endpoint-ULTSVRJ5-random/s0-69/tcp/__fd00.10.244.1..31/8080"
    rules = [each for each in listing["nftables"] if each.get("rule", {}).get("chain") == endpoint]
    assert len(rules) == 2
    listing["nftables"].remove(rules[0])
    found = with_text(one, "nft-kube-proxy6", json.dumps(listing)).disagreements
    assert found
    assert all("connections of fd00:10:244:1::31 to itself" in each for each in found)
