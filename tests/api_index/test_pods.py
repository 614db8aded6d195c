"""Pods by node and by address; helper pods apart from the cluster's own."""

import pytest
from msgspec import convert

from wirecheck.addresses import address
from wirecheck.api_index.helper_pods import NAME
from wirecheck.api_index.pods import PodIndex
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import HelperPodsRecord
from wirecheck.snapshot.run_labels import NAME_LABEL, OWNER, OWNER_LABEL, RUN_LABEL


def pod(name: str, ip: str, *, phase: str = "Running", host: bool = False, **labels: str) -> object:
    owner = {"kind": "DaemonSet", "name": f"{name}-set", "controller": True, "uid": "o"}
    return {
        "metadata": {
            "name": name,
            "namespace": "shop",
            "uid": name,
            "labels": labels,
            "ownerReferences": [owner],
        },
        "spec": {"nodeName": "n1", "hostNetwork": host},
        "status": {"phase": phase, "podIP": ip},
    }


def index(*pods: object, run: HelperPodsRecord | None = None) -> PodIndex:
    return PodIndex(convert({"pods": list(pods)}, ApiObjects), run)


RUN = HelperPodsRecord("run-1", namespace="shop")
HELPER = {NAME_LABEL: NAME, OWNER_LABEL: OWNER, RUN_LABEL: "run-1"}


def names(found: object) -> list[str]:
    assert isinstance(found, tuple)
    return [each.name for each in found]


def test_helper_pods_are_apart_from_the_clusters_own() -> None:
    pods = index(pod("web", "10.0.0.1"), pod("helper", "10.0.0.2", **HELPER), run=RUN)

    assert names(pods.own) == ["web"]
    assert names(pods.helpers) == ["helper"]
    assert names(pods.by_node["n1"]) == ["web"]
    assert names(pods.helpers_by_node["n1"]) == ["helper"]
    assert list(pods.by_address) == [address("10.0.0.1")]
    assert list(pods.helpers_by_address) == [address("10.0.0.2")]


@pytest.mark.parametrize(
    "run",
    [None, HelperPodsRecord("run-2", namespace="shop"), HelperPodsRecord("run-1", namespace="x")],
)
def test_labels_alone_make_no_pod_a_helper(run: HelperPodsRecord | None) -> None:
    """Whoever may create a pod chooses its labels, and must not hide it with them."""
    pods = index(pod("web", "10.0.0.1", **HELPER), run=run)

    assert names(pods.own) == ["web"]
    assert pods.helpers == ()


def test_a_recording_without_the_namespace_knows_helpers_by_their_run() -> None:
    assert index(pod("h", "10.0.0.2", **HELPER), run=HelperPodsRecord("run-1")).own == ()


def test_an_address_belongs_to_running_pods_that_are_not_on_the_host_network() -> None:
    pods = index(
        pod("done", "10.0.0.1", phase="Succeeded"),
        pod("host", "10.0.0.1", host=True),
        pod("one", "10.0.0.1"),
        pod("two", "10.0.0.1"),
    )

    assert names(pods.by_address[address("10.0.0.1")]) == ["one", "two"]


def test_daemonsets_are_known_by_any_of_their_pods() -> None:
    done = pod("done", "10.0.0.1", phase="Failed", host=True)

    assert index(done).daemonsets == {"done-set"}


def test_a_daemonset_with_a_network_of_its_own_is_not_a_part_of_the_nodes() -> None:
    pods = index(pod("calico-node", "10.0.0.1"), pod("agent", "10.0.0.2", host=True))

    assert pods.daemonsets == {"agent-set"}
    assert list(pods.host_daemons) == [("shop", "agent-set")]
