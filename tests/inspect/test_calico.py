"""A node and a pod of a cluster with Calico are drawn as they are: blocks, and no bridge."""

from tests.calico import FOLDER

HEALTHY = FOLDER / "healthy-iptables"
ROUTE = "10.244.85.133/32 dev cali83f5e36a66d metric 1024"


def test_a_node_has_its_block_instead_of_the_pod_cidr_that_nothing_uses(as_json):
    assert as_json("node", "tb-w2", "--snapshot", HEALTHY)["pod_ranges"] == ["10.244.85.128/26"]


def test_a_pod_reaches_other_nodes_by_their_blocks(as_json):
    view = as_json("pod", "-n", "shop", "front-7c489ff494-wbz4h", "--snapshot", HEALTHY)

    peers = view["wire"]["way_out"]["peers"]
    assert {(each["node"], each["range"], each["tunnel_to"]) for each in peers} == {
        ("tb-cp", "10.244.220.0/26", "172.30.0.10"),
        ("tb-w1", "10.244.140.128/26", "172.30.0.11"),
    }
    side = view["wire"]["node_side"]
    assert side["bridge"] is None
    assert [each["text"] for each in side["routes"]][:1] == [ROUTE]
