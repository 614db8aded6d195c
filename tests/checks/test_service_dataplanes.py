"""Programs that forward Services beside the one that should."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tests.checks.test_services import ipvs_node, node, rules, with_output
from wirecheck.catalogue.findings import Finding, Level, NotApplicable
from wirecheck.catalogue.registry import load
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.node.service_dataplanes import ServiceDataplanes
from wirecheck.snapshot.netns import Address, DeviceProgram, Link, Route
from wirecheck.snapshot.node_document import HttpAnswer
from wirecheck.snapshot.objects.pod import PodObject

__all__ = ["ipvs_node", "node"]

CHECK = "kube_proxy.alone"
REFUSED = HttpAnswer(error="refused")


def findings(node: Node) -> list[Finding]:
    (check,) = [each for each in load() if each.id == CHECK]
    return list(check.findings(node))


def with_device(node: Node, name: str, *bound: str) -> Node:
    host, *others = node.seen.facts.namespaces
    host = replace(
        host,
        links=[*host.links, Link(99, name)],
        addresses=[*host.addresses, *(Address(99, each, 32) for each in bound)],
    )
    facts = replace(node.seen.facts, namespaces=[host, *others])
    return Node(node.cluster, node.object, node.visit, facts)


def with_api(node: Node, **fields: Any) -> Node:
    cluster = node.cluster
    assert isinstance(cluster, Cluster)
    cluster = Cluster(replace(cluster.api, **fields), cluster.index, cluster.round)
    return Node(cluster, node.object, node.visit, node.document)


def with_setting(node: Node, value: str) -> Node:
    """With Cilium's ConfigMap."""
    first = node.cluster.api.config_maps[0]
    metadata = replace(first.metadata, name="cilium-config")
    data = {"kube-proxy-replacement": value}
    return with_api(node, config_maps=[replace(first, metadata=metadata, data=data)])


def without_kube_proxy(node: Node) -> Node:
    """No pod of it and no answer; its rules stay."""
    pods = [each for each in node.cluster.api.pods if "kube-proxy" not in each.metadata.name]
    left = with_api(node, pods=pods)
    http = dict.fromkeys(left.seen.facts.http, REFUSED)
    return Node(left.cluster, left.object, left.visit, replace(left.seen.facts, http=http))


def without_rules(node: Node) -> Node:
    return with_output(node, "iptables-nft-save", rules(node).replace("KUBE-SVC-", "GONE-"))


def test_kube_proxy_alone_passes(node, ipvs_node):
    assert findings(node) == []
    assert findings(ipvs_node) == []


@pytest.mark.parametrize("value", ["true", "strict"])
def test_kube_proxy_beside_ciliums_replacement_is_found(node, value):
    (finding,) = findings(with_setting(with_device(node, "cilium_host"), value))

    assert finding.level is Level.WARN
    assert finding.expected == "only Cilium"
    assert finding.found.startswith("also kube-proxy: pod kube-system/kube-proxy-")
    assert "rules of iptables mode" in finding.evidence


def test_cilium_without_its_replacement_is_no_second_program(node):
    assert findings(with_setting(with_device(node, "cilium_host"), "false")) == []


def test_rules_that_kube_proxy_left_are_found(node):
    left = without_kube_proxy(with_setting(with_device(node, "cilium_host"), "true"))

    (finding,) = findings(left)
    assert finding.evidence == ("rules of iptables mode",)
    assert findings(without_rules(left)) == []


def test_calicos_ebpf_beside_kube_proxy_is_found(node):
    (finding,) = findings(with_device(node, "bpfout.cali"))

    assert finding.expected == "only kube-proxy"
    assert finding.found == "also Calico: device bpfout.cali"


def test_kube_routers_service_proxy_beside_kube_proxy_is_found(node):
    assert findings(with_device(node, "kube-dummy-if", "10.9.9.9")) == []

    (finding,) = findings(with_device(node, "kube-dummy-if", "10.96.0.1", "10.96.0.10"))
    assert finding.found == "also kube-router: 2 addresses of Services on kube-dummy-if"


def test_antrea_beside_kube_proxy_counts_with_proxy_all_only(node):
    antrea = with_device(node, "antrea-gw0")
    assert findings(antrea) == []

    rule = (
        "-A ANTREA-PREROUTING -p tcp -m set --match-set ANTREA-NODEPORT-IP dst,dst "
        "-j DNAT --to-destination 169.254.0.252"
    )
    text = rules(antrea)
    at = text.index("COMMIT", text.index("*nat"))
    text = text[:at] + f"{rule}\n" + text[at:]
    text = text.replace("*nat\n", "*nat\n:ANTREA-PREROUTING - [0:0]\n")
    (finding,) = findings(with_output(antrea, "iptables-nft-save", text))
    assert finding.evidence == (rule,)


def test_a_route_of_services_into_open_vswitch_shows_proxy_all(node):
    """Without it Antrea has no such route. The virtual gateway is the same everywhere."""
    antrea = with_device(node, "antrea-gw0")
    host, *others = antrea.seen.facts.namespaces
    route = Route(4, "10.96.0.0/12", gateway="169.254.0.253", index=99, onlink=True)
    host = replace(host, routes=[*host.routes, route])
    facts = replace(antrea.seen.facts, namespaces=[host, *others])

    (finding,) = findings(Node(antrea.cluster, antrea.object, antrea.visit, facts))
    assert finding.found.startswith("also Antrea: route 10.96.0.0/12 via 169.254.0.253")


@pytest.mark.parametrize(
    ("hook", "name", "count"),
    [
        ("tc ingress", "cali_tc_main", 1),
        ("tcx ingress", "cali_tc_preambl", 1),
        ("tc ingress", "calico_tc_main", 1),
        ("xdp", "cali_xdp_preamb", 0),
        ("tc ingress", "cil_from_contai", 0),
        ("tc ingress", "tc_ingress_flow", 0),
    ],
)
def test_calicos_programs_beside_kube_proxy_are_found(node, hook, name, count):
    """Of an older version, which has no device bpfout.cali."""
    calico = with_device(node, "cali0d7763abc12")
    host, *others = calico.seen.facts.namespaces
    host = replace(host, programs=[DeviceProgram(99, hook, "bpf", name)])
    facts = replace(calico.seen.facts, namespaces=[host, *others])

    found = findings(Node(calico.cluster, calico.object, calico.visit, facts))
    assert [each.found for each in found] == [
        f"also Calico: program {name} on cali0d7763abc12"
    ] * count


IP_VS = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  {address}:{port} rr
  -> 0AF40002:0035      Masq    1      0          0
"""


@pytest.mark.parametrize(
    ("address", "port", "count"),
    [
        ("0A600001", "01BB", 1),
        ("0A60000A", "0035", 1),
        ("0A676102", "192B", 0),
        ("damaged", "0", 0),
    ],
)
def test_virtual_servers_at_cluster_ips_are_a_second_program(node, address, port, count):
    files = {**node.seen.facts.files, "/proc/net/ip_vs": IP_VS.format(address=address, port=port)}
    facts = replace(node.seen.facts, files=files)

    found = findings(Node(node.cluster, node.object, node.visit, facts))
    assert len(found) == count
    assert all("1 virtual server at cluster IPs" in each.found for each in found)


def test_virtual_servers_of_kube_proxy_and_kube_router_are_theirs(node, ipvs_node):
    """Each has their addresses on an interface of its own."""
    files = {
        **node.seen.facts.files,
        "/proc/net/ip_vs": IP_VS.format(address="0A600001", port="01BB"),
    }
    for device in ("kube-ipvs0", "kube-dummy-if"):
        other = with_device(node, device, "10.96.0.1")
        facts = replace(other.seen.facts, files=files)
        found = findings(Node(other.cluster, other.object, other.visit, facts))
        assert not any("virtual server" in each.found for each in found)
    assert findings(ipvs_node) == []


def pod_like_kube_proxys(node: Node, name: str, image: str) -> PodObject:
    pod = next(
        each
        for each in node.cluster.api.pods
        if each.metadata.name.startswith("kube-proxy") and each.spec.node_name == node.name
    )
    containers = [replace(pod.spec.containers[0], image=image)]
    return replace(
        pod,
        metadata=replace(pod.metadata, name=name, uid="second"),
        spec=replace(pod.spec, containers=containers),
    )


@pytest.mark.parametrize(
    ("name", "image", "count"),
    [
        ("kube-proxy-static", "registry.k8s.io/kube-proxy:v1.33.0", 1),
        ("my-kube-proxy-x", "rancher/kube-proxy-amd64@sha256:00", 1),
        ("kube-proxy-exporter", "example.com/exporter:1", 0),
        ("iptables-helper", "registry.k8s.io/kube-proxy:v1.33.0", 0),
    ],
)
def test_a_second_kube_proxy_is_found(node, name, image, count):
    pods = node.cluster.api.pods
    own = next(each for each in pods if each.metadata.name.startswith("kube-proxy"))
    assert own.spec.containers[0].image
    both = with_api(node, pods=[*pods, pod_like_kube_proxys(node, name, image)])

    found = findings(both)
    assert len(found) == count
    assert all(f"kube-system/{name}" in each.evidence for each in found)


def test_a_node_that_nothing_forwards_on_is_not_evaluated(node):
    with pytest.raises(NotApplicable, match="no program"):
        findings(without_rules(without_kube_proxy(node)))


def test_a_node_without_answers_of_kube_proxy_is_not_evaluated(node):
    facts = replace(node.seen.facts, http={})

    with pytest.raises(NotApplicable, match="not asked"):
        findings(Node(node.cluster, node.object, node.visit, facts))


def programs(node: Node) -> list[str]:
    return [each.found for each in ServiceDataplanes(node.seen, node.iptables).all]


def without_answers(node: Node) -> Node:
    """kube-proxy's pod runs, and its endpoints refuse connections."""
    http = dict.fromkeys(node.seen.facts.http, REFUSED)
    return Node(node.cluster, node.object, node.visit, replace(node.seen.facts, http=http))


def without_pods(node: Node) -> Node:
    """kube-proxy is a part of the node's agent, as with k3s: it answers without a pod."""
    pods = [each for each in node.cluster.api.pods if "kube-proxy" not in each.metadata.name]
    return with_api(node, pods=pods)


def test_what_shows_kube_proxy_is_named(node):
    pod = next(each for each in node.seen.pods if each.name.startswith("kube-proxy"))
    shown, answers, left = f"pod kube-system/{pod.name}", "it answers at 127.0.0.1:10249", "rules"

    (every,) = programs(node)
    assert every == f"kube-proxy: {shown}, {answers}, {left} of iptables mode"
    (silent,) = programs(without_answers(node))
    assert silent == f"kube-proxy: {shown}, {left} of iptables mode"
    (hidden,) = programs(without_pods(node))
    assert hidden == f"kube-proxy: {answers}, {left} of iptables mode"


@pytest.mark.parametrize("change", [without_answers, without_pods])
def test_a_pod_or_an_answer_shows_that_ciliums_device_is_no_second_program(node, change):
    assert len(programs(change(with_device(node, "cilium_host")))) == 1


def test_a_replacement_is_shown_by_its_device_or_by_its_configuration(node):
    silent = without_answers(with_setting(node, "true"))
    assert programs(silent)[0] == "Cilium: its configuration"
    # Cilium's agent does not run on a node without its device, where kube-proxy answers.
    assert len(programs(with_setting(node, "true"))) == 1
    found = programs(with_setting(with_device(node, "cilium_host"), "true"))
    assert found[0] == "Cilium: device cilium_host"
    assert len(found) == 2


@pytest.mark.parametrize(("host_network", "count"), [(True, 1), (False, 0)])
def test_a_second_kube_proxy_elsewhere_writes_the_nodes_rules_on_the_host_network_only(
    node, host_network, count
):
    second = pod_like_kube_proxys(node, "kube-proxy-0", "registry.k8s.io/kube-proxy:v1.33.0")
    second = replace(
        second,
        metadata=replace(second.metadata, namespace="shop"),
        spec=replace(second.spec, host_network=host_network),
    )
    assert len(findings(with_api(node, pods=[*node.cluster.api.pods, second]))) == count
