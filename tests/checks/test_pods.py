"""The checks of pods, each on a cluster where one thing is broken."""

import pytest

from tests.checks.small_cluster import DNS_NETNS, WEB_NETNS, SmallCluster, agent_pod
from wirecheck.catalogue.findings import FactMissingError, NotApplicable
from wirecheck.snapshot.api_objects import Change


def web(small: SmallCluster) -> dict:
    return small.api["pods"][1]


def test_a_running_pod_without_an_address_is_found(small):
    web(small)["status"] |= {"podIP": "", "podIPs": []}

    (finding,) = small.findings("pods.have_ip")
    assert (finding.subject.name, finding.found) == ("web", "none in its status")


def test_a_pod_that_waits_or_ends_needs_no_address(small):
    web(small)["status"] = {"phase": "Pending"}
    assert not small.findings("pods.have_ip")

    web(small)["status"] = {"phase": "Succeeded"}
    assert not small.findings("pods.have_ip")


def test_an_address_outside_the_nodes_range_is_found(small):
    web(small)["status"]["podIPs"] = [{"ip": "10.244.0.3"}, {"ip": "10.250.0.3"}]

    (finding,) = small.findings("pods.ip_in_node_range")
    assert (finding.expected, finding.found) == ("an address in 10.244.0.0/24", "10.250.0.3")


def test_the_range_is_not_evaluated_where_the_plugin_has_pools_of_its_own(small):
    owner = {"kind": "DaemonSet", "name": "calico-node", "controller": True}
    small.api["pods"][0]["metadata"]["ownerReferences"] = [owner]
    # One that only has the name of Calico's agent sets up no network.
    assert small.findings("pods.ip_in_node_range") == []
    small.api["pods"][0]["spec"]["hostNetwork"] = True

    with pytest.raises(NotApplicable, match="Calico"):
        small.findings("pods.ip_in_node_range")


def test_an_unknown_plugin_that_uses_no_node_range_has_pools_of_its_own(small):
    del small.api["pods"][2]
    for pod, address in zip(small.api["pods"], ("10.99.0.2", "10.99.0.3"), strict=True):
        pod["status"] |= {"podIP": address, "podIPs": [{"ip": address}]}

    with pytest.raises(NotApplicable, match="unknown CNI plugin"):
        small.findings("pods.ip_in_node_range")


def test_two_pods_with_one_address_are_one_finding_that_names_both(small):
    web(small)["status"] |= {"podIP": "10.244.0.2", "podIPs": [{"ip": "10.244.0.2"}]}

    (finding,) = small.findings("pods.unique_ips")
    assert finding.subject.name == "dns"
    assert "shop/web" in finding.found


def test_pods_on_the_hosts_network_may_share_its_address(small):
    for pod in small.api["pods"]:
        pod["spec"]["hostNetwork"] = True
        pod["status"] |= {"podIP": "192.0.2.1", "podIPs": [{"ip": "192.0.2.1"}]}

    assert not small.findings("pods.unique_ips")


def test_a_pod_without_processes_has_no_netns(small):
    small.change_document(pods=small.document.pods[:1])

    (finding,) = small.findings("pods.have_netns")
    assert finding.found == "no process on n1 belongs to it"


def test_a_static_pod_is_found_by_the_hash_in_its_cgroup(small):
    uid = web(small)["metadata"]["uid"]
    web(small)["metadata"] |= {
        "uid": "the-mirrors-own",
        "annotations": {"kubernetes.io/config.hash": uid, "kubernetes.io/config.mirror": uid},
    }

    assert not small.findings("pods.have_netns")


@pytest.mark.parametrize("runtime_class", ["kata-qemu", "gvisor"])
def test_a_sandboxed_pod_is_not_expected(small, runtime_class):
    web(small)["spec"]["runtimeClassName"] = runtime_class
    small.change_document(pods=small.document.pods[:1])

    (finding,) = small.findings("pods.have_netns")
    assert finding.inconclusive.startswith(f"pods of the runtime class {runtime_class}")
    small.change_netns(WEB_NETNS, addresses=[])
    assert not small.findings("pods.ip_on_interface")


def test_a_lost_address_is_found(small):
    small.change_netns(WEB_NETNS, addresses=[])

    (finding,) = small.findings("pods.ip_on_interface")
    assert (finding.expected, finding.found) == ("10.244.0.3 on an interface", "nothing")


def test_a_netns_that_could_not_be_read_is_an_error_and_not_a_pass(small):
    small.change_netns(WEB_NETNS, error="setns: Operation not permitted")

    with pytest.raises(FactMissingError, match=r"shop/web: setns: Operation not permitted"):
        small.findings("pods.ip_on_interface")


def test_a_netns_that_went_away_with_its_pod_is_not_an_error(small):
    small.change_netns(WEB_NETNS, error="setns: No such file or directory", addresses=[])
    small.changes.append(Change("Pod", "web", "shop", what="deleted"))
    assert not small.findings("pods.ip_on_interface")

    small.change_netns(DNS_NETNS, error="setns: Operation not permitted")
    with pytest.raises(FactMissingError, match="of 1 pod could not be read; kube-system/dns"):
        small.findings("pods.ip_on_interface")


def proxy_on(small, node: str, name: str = "kube-proxy") -> dict:
    pod = agent_pod()
    pod["metadata"] |= {"name": f"{name}-{node}", "namespace": "kube-system", "uid": node + name}
    pod["metadata"]["ownerReferences"][0]["name"] = name
    containers = [{"name": name, "image": "registry.k8s.io/kube-proxy:v1.34.4"}]
    pod["spec"] = pod["spec"] | {"nodeName": node, "containers": containers}
    small.api["pods"].append(pod)
    return pod


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"metadata": {"namespace": "shop"}}, "kube-proxy"),
        ({"spec": {"hostNetwork": False}}, "kube-proxy"),
        (
            {"spec": {"containers": [{"name": "a", "image": "example.com/exporter:1"}]}},
            "kube-proxy-exporter",
        ),
    ],
    ids=["in another namespace", "not on the host network", "with another image"],
)
def test_a_daemonset_that_is_called_like_kube_proxy_is_not_needed(small, change, name):
    pod = proxy_on(small, "n2", name)
    for part, fields in change.items():
        pod[part] |= fields

    with pytest.raises(NotApplicable, match="no DaemonSet"):
        small.findings("pods.network_daemons_ready")


def test_a_node_without_a_part_of_the_network_that_others_have_is_found(small):
    with pytest.raises(NotApplicable, match="no DaemonSet"):
        small.findings("pods.network_daemons_ready")

    proxy_on(small, "n2")
    (finding,) = small.findings("pods.network_daemons_ready")
    assert (finding.subject.part, finding.found) == ("kube-proxy", "none")

    mine = proxy_on(small, "n1", "kube-proxy-ipvs")
    assert not small.findings("pods.network_daemons_ready")

    mine["status"]["conditions"] = []
    (finding,) = small.findings("pods.network_daemons_ready")
    assert finding.found == "not Ready"


@pytest.mark.parametrize("key", ["virtual-kubelet.io/provider", "karpenter.sh/disrupted"])
def test_virtual_nodes_and_nodes_being_removed_need_no_network_daemons(small, key):
    proxy_on(small, "n2")
    small.api["nodes"][0]["spec"]["taints"] = [{"key": key, "effect": "NoSchedule"}]
    with pytest.raises(NotApplicable, match="removed"):
        small.findings("pods.network_daemons_ready")


def test_each_daemon_is_evaluated_by_itself(small):
    """kube-proxy runs outside of a DaemonSet, as with k3s."""
    proxy_on(small, "n2", "node-local-dns")

    (finding,) = small.findings("pods.network_daemons_ready")
    assert (finding.subject.part, finding.found) == ("NodeLocal DNSCache", "none")
    proxy_on(small, "n2")
    found = small.findings("pods.network_daemons_ready")
    assert [each.subject.part for each in found] == ["kube-proxy", "NodeLocal DNSCache"]
