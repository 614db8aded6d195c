"""What a fault happens to, looked up in the running cluster: the words that its steps may use."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from testbed.cluster import kubectl
from testbed.commands import TestbedError
from testbed.faults.dns_placement import replicas
from testbed.faults.fault import Target
from testbed.layout import VM
from testbed.nodes import output

FIND_PROCESS = """
import os, sys
wanted = (sys.argv[1], sys.argv[1].replace("-", "_"))
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        with open("/proc/%s/cgroup" % pid) as cgroup, open("/proc/%s/comm" % pid) as comm:
            if comm.read().strip() != "pause" and any(w in cgroup.read() for w in wanted):
                print(pid)
                break
    except OSError:
        pass
"""


class TargetError(TestbedError):
    """The cluster does not hold what the fault is to happen to: says what is missing."""


def words(target: Target) -> dict[str, str]:
    """`{node}`, and for a pod `{pod}`, `{namespace}`, `{uid}`, `{address}`, `{pid}`, `{veth}`.

    Beside a node with DNS also one without, `{peer}`, with the way to it: `{peer_range}` …, and
    the third one, `{other}`, with its `{other_address}`; and where a Service is given its
    `{service}`.
    """
    node = _node_by_dns(target.node)
    peer = {**_peer(), **_other(node)} if target.node == "with dns" else {}
    if target.service:
        peer["service"] = _cluster_ip(target)
    if not target.app:
        return {"node": node, **peer}
    pod = _pod(target, node)
    uid = pod["metadata"]["uid"]
    # A static pod's cgroup carries its manifest's hash, not the uid of its mirror in the API.
    cgroup = pod["metadata"].get("annotations", {}).get("kubernetes.io/config.hash", uid)
    pid = output(node, ["python3", "-c", FIND_PROCESS, cgroup]).strip()
    if not pid:
        raise TargetError(f"No process of pod {pod['metadata']['name']} is found on {node}.")
    found = {
        "node": node,
        "namespace": target.namespace,
        "pod": pod["metadata"]["name"],
        "uid": uid,
        "address": pod["status"]["podIP"],
        "pid": pid,
        **peer,
    }
    return found if pod["spec"].get("hostNetwork") else {**found, "veth": _veth(node, pid)}


def _cluster_ip(target: Target) -> str:
    named = ["-n", target.namespace, "get", "service", target.service]
    return kubectl(*named, "-o", "jsonpath={.spec.clusterIP}").strip()


def _pod(target: Target, node: str) -> dict[str, Any]:
    place = f"spec.nodeName={node},status.phase=Running"
    listed = kubectl(
        "-n",
        target.namespace,
        "get",
        "pods",
        "-l",
        target.app,
        "--field-selector",
        place,
        "-o",
        "json",
    )
    pods = [p for p in json.loads(listed)["items"] if "deletionTimestamp" not in p["metadata"]]
    if not pods:
        raise TargetError(f"No pod {target.app} in {target.namespace} runs on {node}.")
    return min(pods, key=lambda pod: str(pod["metadata"]["name"]))


def _veth(node: str, pid: str) -> str:
    inner = json.loads(output(node, ["nsenter", "-t", pid, "-n", "ip", "-j", "link"]))
    peer = next(link["link_index"] for link in inner if link["ifname"] == "eth0")
    outer = json.loads(output(node, ["ip", "-j", "link"]))
    return next(str(link["ifname"]) for link in outer if link["ifindex"] == peer)


def _peer() -> dict[str, str]:
    """A node without DNS, and how the pod network reaches it."""
    name = _node_by_dns("without dns")
    node = json.loads(kubectl("get", "node", name, "-o", "json"))
    range_ = str(node["spec"]["podCIDR"])
    return {
        "peer": name,
        "peer_address": _address(node),
        "peer_range": range_,
        "peer_gateway": range_.partition("/")[0],
        **_vtep(node["metadata"]["annotations"]),
    }


def _vtep(annotations: Mapping[str, str]) -> dict[str, str]:
    """The `{peer_mac}` of flannel's VXLAN; other networks have none, and flannel notes `null`."""
    noted = json.loads(annotations.get("flannel.alpha.coreos.com/backend-data", "null"))
    return {"peer_mac": str(noted["VtepMAC"])} if noted and "VtepMAC" in noted else {}


def _other(node: str) -> dict[str, str]:
    """The node that is neither `node` nor its peer."""
    listed = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    known = (node, _node_by_dns("without dns"), VM)
    found = [each for each in listed if each["metadata"]["name"] not in known]
    if not found:
        return {}
    return {"other": str(found[0]["metadata"]["name"]), "other_address": _address(found[0])}


def _address(node: dict[str, Any]) -> str:
    addresses = node["status"]["addresses"]
    return next(str(each["address"]) for each in addresses if each["type"] == "InternalIP")


def _node_by_dns(wanted: str) -> str:
    """`without dns`: a node where only the path to DNS can be at fault; `with dns`: another."""
    if wanted not in ("with dns", "without dns"):
        return wanted
    holders = set(replicas().values())
    nodes = json.loads(kubectl("get", "nodes", "-o", "json"))["items"]
    fitting = [
        str(node["metadata"]["name"])
        for node in nodes
        if (node["metadata"]["name"] in holders) == (wanted == "with dns")
    ]
    if not fitting:
        raise TargetError(f"No node is {wanted}.")
    return max(name for name in fitting if name != VM)
