"""Waiting until the cluster is programmed, and not only Ready.

A cluster can look perfect and be broken: nodes Ready, pods Running, and kube-proxy has not
completed one sync. So every node is asked what only a programmed node can answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from testbed import nodes
from testbed.cluster import kubectl, node_names
from testbed.commands import StoppedByUserError, TestbedError
from testbed.layout import API_SERVICE, CLUSTER_DNS
from testbed.workloads import NEVER_READY

_NAME = "kubernetes.default.svc.cluster.local"
_EMBEDDED = "kube-proxy is a part of k3s"
_PROBE = f"""
curl -s -m 5 -o /dev/null -w '%{{http_code}}\\n' http://127.0.0.1:10256/healthz
echo $(dig +short +time=3 +tries=1 @{CLUSTER_DNS} {_NAME})
echo $(dig +short +tcp +time=3 +tries=1 @{CLUSTER_DNS} {_NAME})
[ ! -f /etc/rancher/k3s/config.yaml ] || echo {_EMBEDDED}
"""
_WEB_PROBE = 'curl -s -m 5 -o /dev/null -w "%{http_code}" "http://$0/hostname"'


class VanishedError(TestbedError):
    """What is waited for can no longer come."""


def wait_for(missing: Callable[[], list[str]], limit: float, look_at: str) -> None:
    """Wait until nothing is missing.

    `missing` names what is still missing. After `limit` seconds TestbedError says what that
    is, and where to look (`look_at`).
    """
    end = time.monotonic() + limit
    while True:
        lacking = _or_reason(missing)
        if not lacking:
            return
        if time.monotonic() > end:
            shown = "; ".join(lacking[:8])
            raise TestbedError(f"after {limit:.0f} s still missing: {shown}. Look at {look_at}")
        time.sleep(0.5)


def _or_reason(missing: Callable[[], list[str]]) -> list[str]:
    try:
        return missing()
    except (StoppedByUserError, VanishedError):
        raise
    except TestbedError as error:
        return [str(error)]


def wait_until_at_rest() -> None:
    """Wait until all nodes are Ready and programmed, and all workloads run. Raises TestbedError."""
    names = node_names()
    for missing in (
        lambda: nodes_not_ready(names),
        workloads_not_running,
        lambda: unprogrammed(names),
    ):
        wait_for(missing, 300, "the kubelet's log on the node")


def nodes_not_ready(names: Iterable[str]) -> list[str]:
    """The nodes that the API does not know, or does not call Ready."""
    listed = _items("nodes")
    ready = {n["metadata"]["name"] for n in listed if _condition(n, "Ready")}
    return [f"node {name} Ready" for name in names if name not in ready]


def unprogrammed(names: Sequence[str]) -> list[str]:
    """What nodes lack to forward Services: a healthy kube-proxy, answers of the cluster DNS.

    Nothing to wait for if the pod network replaces kube-proxy, or k3s runs it without a pod.
    """
    daemon = ["-n", "kube-system", "get", "daemonset", "kube-proxy", "--ignore-not-found"]
    proxied = bool(kubectl(*daemon, "-o", "name").strip())
    with ThreadPoolExecutor(len(names)) as pool:
        every = pool.map(lambda name: _unprogrammed(name, proxied=proxied), names)
        return [line for lines in every for line in lines]


def _unprogrammed(name: str, *, proxied: bool) -> list[str]:
    said = nodes.run(name, ["sh", "-c", _PROBE], timeout=40).stdout.splitlines()
    health, udp, tcp = (*said, "", "", "")[:3]
    lacking = []
    if (proxied or _EMBEDDED in said) and health != "200":
        lacking.append(f"kube-proxy healthy on {name} (its /healthz gave {health or 'nothing'})")
    for protocol, answer in (("UDP", udp), ("TCP", tcp)):
        if answer != API_SERVICE:
            got = answer or "nothing"
            lacking.append(f"{_NAME} over {protocol} at {CLUSTER_DNS} on {name} (got {got})")
    return lacking


def without_service(names: Sequence[str], address: str) -> list[str]:
    """The nodes on which an HTTP Service does not answer."""
    with ThreadPoolExecutor(len(names)) as pool:
        said = pool.map(
            lambda name: nodes.run(name, ["sh", "-c", _WEB_PROBE, address], timeout=40).stdout,
            names,
        )
    return [
        f"http://{address} on {n} (got {s})" for n, s in zip(names, said, strict=True) if s != "200"
    ]


def workloads_not_running() -> list[str]:
    """The workloads that have not all the pods they should have."""
    lacking = [
        line
        for kind in ("deployments", "statefulsets", "daemonsets")
        for item in _items(kind)
        for line in _not_running(kind, item)
    ]
    lacking += [f"job {_name(j)} complete" for j in _items("jobs") if not _condition(j, "Complete")]
    bare = [p for p in _items("pods") if not p["metadata"].get("ownerReferences")]
    lacking += [f"pod {_name(p)} ready" for p in bare if not _condition(p, "Ready")]
    return lacking + _never_ready_not_running()


def _not_running(kind: str, item: dict[str, Any]) -> Iterable[str]:
    if (item["metadata"]["namespace"], item["metadata"]["name"]) == NEVER_READY:
        return
    status = item["status"]
    if kind == "daemonsets":
        wanted, ready = status["desiredNumberScheduled"], status.get("numberReady", 0)
        wanted = max(wanted, 0 if item["spec"]["template"]["spec"].get("nodeSelector") else 1)
    else:
        wanted, ready = item["spec"]["replicas"], status.get("readyReplicas", 0)
    observed = status.get("observedGeneration") == item["metadata"]["generation"]
    if ready < wanted or not observed:
        yield f"{kind[:-1]} {_name(item)} ready ({ready} of {wanted})"


def _never_ready_not_running() -> list[str]:
    namespace, app = NEVER_READY
    pods = [p for p in _items("pods") if p["metadata"].get("labels", {}).get("app") == app]
    running = [p for p in pods if p["status"].get("phase") == "Running"]
    if pods and len(running) == len(pods):
        return []
    return [f"pods of {namespace}/{app} running ({len(running)} of {len(pods)})"]


def _items(kind: str) -> list[dict[str, Any]]:
    listed: dict[str, list[dict[str, Any]]] = json.loads(
        kubectl("get", kind, "--all-namespaces", "--output", "json")
    )
    return listed["items"]


def _name(item: dict[str, Any]) -> str:
    return f"{item['metadata']['namespace']}/{item['metadata']['name']}"


def _condition(item: dict[str, Any], kind: str) -> bool:
    conditions = item["status"].get("conditions", [])
    return any(c["type"] == kind and c["status"] == "True" for c in conditions)
