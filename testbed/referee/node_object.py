"""The API's object of the referee's node."""

from __future__ import annotations

from testbed.referee.dice import Dice
from testbed.referee.kube_proxy import NODE
from testbed.referee.scene import Object

ADDRESSES = ("172.31.0.10", "fd00:31::10")
FURTHER = ("172.31.0.11", "10.9.9.7", "fd00:31::11", "fd00:99::7")
"""What its interface has besides; some are further internal addresses of the Node."""
ZONES = ("zone-a", "zone-b")
NODES = (NODE, "there", "far")
_ZONE_LABEL = "topology.kubernetes.io/zone"


def random_node(dice: Dice) -> Object:
    """The node, in one zone or the other or in none."""
    zone = dice.choice((*ZONES, ZONES[0], ""))
    internal = [*ADDRESSES, *dice.some(FURTHER, 0, 2)]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": NODE,
            "labels": {"kubernetes.io/hostname": NODE, **({_ZONE_LABEL: zone} if zone else {})},
        },
        "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"]},
        "status": {"addresses": [{"type": "InternalIP", "address": each} for each in internal]},
    }


def of_version(node: Object, version: str) -> Object:
    """The node as its kubelet would tell of itself.

    Where kube-proxy does not say its version (until 1.30), the kubelet's is what is known.
    """
    return {**node, "status": {**node["status"], "nodeInfo": {"kubeletVersion": f"v{version}"}}}
