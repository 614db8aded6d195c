"""The small cluster with a helper pod on each node, and all large messages there and back."""

from __future__ import annotations

from typing import Any

from tests.checks.small_cluster import HOST, WEB, WEB_NETNS, SmallCluster, api_pod, pod_netns
from wirecheck.snapshot.attempts import Contact
from wirecheck.snapshot.index import HelperPodsRecord
from wirecheck.snapshot.node_document import PodProcesses

RUN = "run-1"
HELPER_NETNS = 103
LARGE: dict[str, Any] = {
    "messages": 17,
    "sent": 69_000,
    "received": 69_000,
    "replies": 17,
    "tries": 1,
    "made": 1,
}


def helper_pod(node: str, address: str, run: str = RUN) -> dict[str, Any]:
    """A helper pod as the API shows it."""
    labels = {
        "app.kubernetes.io/name": "wirecheck-helper",
        "app.kubernetes.io/managed-by": "wirecheck",
        "app.kubernetes.io/instance": run,
    }
    pod = api_pod(f"h-{run}-{node}", "helpers", address, **labels)
    pod["spec"]["nodeName"] = node
    return pod


def helped_cluster() -> SmallCluster:
    """n1 is visited; its own helper pod is the last but one of the API's pods, n2's the last."""
    small = SmallCluster()
    own, other = helper_pod("n1", "10.244.0.77"), helper_pod("n2", "10.244.1.77")
    small.api["pods"] += [own, other]
    uid = own["metadata"]["uid"]
    document = small.document
    assert document
    assert document.contacts
    small.change_document(
        namespaces=[*document.namespaces, pod_netns(HELPER_NETNS, 3, "10.244.0.77", 13)],
        pods=[*document.pods, PodProcesses(uid, HELPER_NETNS)],
        contacts=[
            *document.contacts,
            Contact(HOST, "", "helper", "10.244.1.77", 8053, **LARGE),
            Contact(HELPER_NETNS, uid, "helper", "10.244.1.77", 8053, **LARGE),
            Contact(HOST, "", "own helper", "10.244.0.77", 8053, **LARGE),
            Contact(WEB_NETNS, WEB, "own helper", "10.244.0.77", 8053, **LARGE),
        ],
    )
    small.helper_pods = HelperPodsRecord(RUN, {"n1": "", "n2": ""})
    return small
