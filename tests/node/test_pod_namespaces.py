"""Which netns a pod has, why it has none, and what is left of pods that are gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.checks.small_cluster import DNS_NETNS, HOST, WEB, WEB_NETNS, SmallCluster, link
from wirecheck.api_index.pod import Pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.node.pod_namespaces import RUNTIMES_NETNS, PodNamespaces
from wirecheck.snapshot.netns import Namespace
from wirecheck.snapshot.node_document import Host, PodProcesses


@pytest.fixture
def small() -> SmallCluster:
    return SmallCluster()


def namespaces(small: SmallCluster) -> PodNamespaces:
    return small.node.namespaces


def web(small: SmallCluster) -> Pod:
    return next(pod for pod in small.node.pods if pod.name == "web")


def map_web(small: SmallCluster, inode: int | None, **fields: Any) -> None:
    """Give the web pod's processes another netns, or none."""
    assert small.document
    assert small.document.pods
    others = [each for each in small.document.pods if each.uid != WEB]
    mine = [PodProcesses(WEB, inode)] if inode is not None else []
    small.change_document(pods=[*others, *mine], **fields)


@pytest.mark.parametrize(
    ("inode", "reason"),
    [
        (None, "no process on n1 belongs to it"),
        (HOST, "its processes are in the node's own netns"),
        (4711, "its netns 4711 could not be entered"),
    ],
)
def test_why_a_pod_has_no_netns(small: SmallCluster, inode: int | None, reason: str) -> None:
    map_web(small, inode)

    assert namespaces(small).netns_of(web(small)) is None
    assert namespaces(small).why_no_netns(web(small)) == reason


def test_a_process_that_could_not_be_read_may_be_the_pods(small: SmallCluster) -> None:
    map_web(small, None, closed_processes=2)

    with pytest.raises(FactMissingError, match="2 processes on n1 could not be read"):
        namespaces(small).why_no_netns(web(small))


def test_of_a_pod_with_processes_other_processes_say_nothing(small: SmallCluster) -> None:
    map_web(small, HOST, closed_processes=2)

    assert "own netns" in namespaces(small).why_no_netns(web(small))


def test_a_pod_on_the_host_network_has_no_netns_of_its_own(small: SmallCluster) -> None:
    found = namespaces(small).netns_of(web(small))
    assert found
    assert found.inode == WEB_NETNS

    small.api["pods"][1]["spec"]["hostNetwork"] = True
    assert namespaces(small).netns_of(web(small)) is None


def in_netns(small: SmallCluster) -> list[str]:
    return [pod.name for pod, _ in namespaces(small).pods_with_netns]


def test_pods_with_a_netns_are_those_whose_netns_was_read(small: SmallCluster) -> None:
    assert in_netns(small) == ["dns", "web"]

    map_web(small, HOST)
    assert in_netns(small) == ["dns"]

    small.api["pods"][0]["spec"]["hostNetwork"] = True
    map_web(small, WEB_NETNS)
    assert in_netns(small) == ["web"]


def test_a_sandbox_hides_the_network_of_a_running_pod(small: SmallCluster) -> None:
    sandboxed = replace(web(small), sandbox="pods in virtual machines")

    assert namespaces(small).why_hidden(sandboxed) == "pods in virtual machines"
    assert namespaces(small).why_hidden(web(small)) == ""
    small.change_netns(WEB_NETNS, links=[link(2, "eth0"), link(3, "tap0_kata", "tun")])
    assert "virtual machine in their netns" in namespaces(small).why_hidden(web(small))
    assert [pod.name for pod, _ in namespaces(small).hidden] == ["web"]
    assert in_netns(small) == ["dns"]
    small.change_netns(WEB_NETNS, error="gone")
    assert namespaces(small).why_hidden(web(small)) == ""
    small.api["pods"][1]["spec"]["hostNetwork"] = True
    assert namespaces(small).why_hidden(replace(web(small), sandbox="x")) == ""


def test_the_first_unread_netns_is_named_after_the_others(small: SmallCluster) -> None:
    small.change_netns(DNS_NETNS, error="gone")
    found = namespaces(small).pods_with_netns

    assert next(found)[0].name == "web"
    with pytest.raises(FactMissingError, match=r"netns of 1 pod .* kube-system/dns: gone"):
        next(found)


def unmapped(small: SmallCluster, **fields: Any) -> SmallCluster:
    small.change_document(**{"pods": [], **fields})
    return small


def test_where_no_pod_can_be_mapped_nothing_about_pods_is_known(small: SmallCluster) -> None:
    with pytest.raises(FactMissingError, match="None of the 3 running pods of n1"):
        namespaces(unmapped(small)).require_pods()


def test_processes_that_were_not_read_explain_that_no_pod_was_mapped(small: SmallCluster) -> None:
    namespaces(unmapped(small, closed_processes=1)).require_pods()


def test_a_node_without_running_pods_maps_none(small: SmallCluster) -> None:
    for pod in small.api["pods"]:
        pod["status"]["phase"] = "Succeeded"

    namespaces(unmapped(small)).require_pods()


def test_a_stage_that_failed_is_an_error_unless_pods_were_found(small: SmallCluster) -> None:
    failed = ["Pods: OSError."]

    small.change_document(problems=failed)
    namespaces(small).require_pods()
    with pytest.raises(FactMissingError, match="n1: Pods: OSError"):
        namespaces(unmapped(small, problems=failed)).require_pods()


def test_a_node_whose_pods_are_all_on_the_host_network(small: SmallCluster) -> None:
    namespaces(small).require_own_netns()

    small.api["pods"] = small.api["pods"][2:]
    with pytest.raises(NotApplicable, match="no pod of the node has a network namespace"):
        namespaces(small).require_own_netns()


def orphans(small: SmallCluster) -> list[str]:
    return [each.interface.name for each in namespaces(small).orphaned_veths]


def add(small: SmallCluster, *namespaces: Namespace, **of_link: Any) -> None:
    """Add namespaces, and a veth to one of them."""
    assert small.document
    host, *others = small.document.namespaces
    veth = link(20, "veth20", **of_link)
    small.change_document(namespaces=[host, *others, *namespaces])
    small.change_netns(HOST, links=[*host.links, veth])


@pytest.mark.parametrize(
    ("processes", "nsid", "found"), [(1, 9, []), (0, 9, ["veth20"]), (1, None, ["veth20"])]
)
def test_a_netns_with_a_process_uses_its_pair(
    small: SmallCluster, processes: int, nsid: int | None, found: list[str]
) -> None:
    add(small, Namespace(inode=99, nsid=nsid, processes=processes), peer_nsid=9)

    assert orphans(small) == found


def test_the_nodes_own_netns_is_not_that_of_a_pod(small: SmallCluster) -> None:
    small.change_netns(HOST, nsid=9)
    add(small, peer_nsid=9)

    assert orphans(small) == ["veth20"]


@pytest.mark.parametrize(
    ("virtualised", "known", "found"),
    [("container", False, []), ("container", True, ["veth20"]), ("vm", False, ["veth20"])],
)
def test_a_node_in_a_container_can_have_links_to_others_beside_it(
    small: SmallCluster, virtualised: str, known: bool, found: list[str]
) -> None:
    small.change_document(host=Host("n1", virtualised=virtualised))
    add(small, *[Namespace(inode=99, nsid=9)] * known, peer_nsid=9)

    assert orphans(small) == found


UUID = "0f0e0d0c-1111-2222-3333-444455556666"


@pytest.mark.parametrize(
    ("mounted", "is_runtimes"),
    [
        (f"/run/netns/cni-{UUID}", True),
        (f"/run/netns/{UUID}", True),
        ("/var/run/docker/netns/3f2504e0", True),
        (f"/run/netns/cni-{UUID}-old", False),
        ("/run/netns/blue", False),
        ("", False),
    ],
)
def test_a_runtimes_netns_without_a_process_is_leaked(
    small: SmallCluster, mounted: str, is_runtimes: bool
) -> None:
    assert bool(RUNTIMES_NETNS.search(mounted)) is is_runtimes
    add(
        small,
        Namespace(inode=98, processes=1, mounted=mounted),
        Namespace(inode=99, processes=0, mounted=mounted),
    )

    small.change_netns(HOST, processes=0, mounted=mounted)
    leaked = namespaces(small).leaked_netns
    assert [each.inode for each in leaked] == ([99] if is_runtimes else [])


def test_a_pair_without_its_end_on_the_node_has_none(small: SmallCluster) -> None:
    outer = {pair.pod.name: pair.outer for pair in namespaces(small).veths}
    assert [each.name for each in outer.values() if each] == ["veth11", "veth12"]

    small.change_link(HOST, "veth12", kind="dummy")
    assert {p.pod.name: bool(p.outer) for p in namespaces(small).veths} == {
        "dns": True,
        "web": False,
    }
    small.change_link(WEB_NETNS, "eth0", kind="macvlan")
    assert [pair.pod.name for pair in namespaces(small).veths] == ["dns"]


def test_pods_on_a_bridge_and_pods_on_a_switch(small: SmallCluster) -> None:
    assert namespaces(small).has_pods_on_a_bridge

    small.change_link(HOST, "cni0", kind="openvswitch")
    assert not namespaces(small).has_pods_on_a_bridge
    for name in ("veth11", "veth12"):
        small.change_link(HOST, name, master=None)
    assert not namespaces(small).has_pods_on_a_bridge
