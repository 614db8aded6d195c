"""The checks of kube-proxy itself, on nodes of a real cluster of which one thing is changed."""

import gzip
import json
import re
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.checks.test_services import failing, ipvs_node, node, rules, with_http, with_output
from wirecheck.catalogue.findings import (
    FactMissingError,
    Level,
    NotApplicable,
    SharedCauseError,
    Since,
)
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.snapshot.netns import Address, Link, Namespace
from wirecheck.snapshot.node_document import HttpAnswer

__all__ = ["ipvs_node", "node"]

KUBE_PROXY = Path(__file__).parents[1] / "recorded/kube-proxy"
IP_VS = """IP Virtual Server version 1.2.1 (size=4096)
Prot LocalAddress:Port Scheduler Flags
  -> RemoteAddress:Port Forward Weight ActiveConn InActConn
TCP  {address}:{port} rr
  -> 0AF40102:1F90      Masq    1      0          0
"""


def findings(node: Node, check: str) -> list:
    return failing(node).get(f"kube_proxy.{check}", [])


def with_metrics(node: Node, queued: float, done: float) -> Node:
    stamp = 'kubeproxy_sync_proxy_rules_last_{}timestamp_seconds{{ip_family="IPv4"}} {}\n'
    info = f'kubernetes_build_info{{git_version="{node.proxy.version}"}} 1\n'
    text = info + stamp.format("queued_", queued) + stamp.format("", done)
    return with_http(node, "metrics", HttpAnswer(200, text))


@pytest.mark.parametrize(
    ("queued", "done", "count"),
    [(-300, -299, 0), (-30, -3000, 0), (-300, -301, 1), (-300, 0, 0)],
    ids=["synced", "is about to", "waits", "synced later"],
)
def test_a_change_that_waits_for_its_sync_is_found(node, queued, done, count):
    seen = node.seen.facts.finished
    found = findings(with_metrics(node, seen + queued, seen + done), "sync_lag")

    assert len(found) == count
    assert all("been waiting for 300 s" in each.found for each in found)


def test_a_sync_may_take_two_minutes(node):
    seen = node.seen.facts.finished

    assert not findings(with_metrics(node, seen - 120, seen - 121), "sync_lag")
    assert findings(with_metrics(node, seen - 120.5, seen - 121), "sync_lag")


def test_a_change_that_waits_has_waited_since_the_last_sync(node):
    seen = node.seen.facts.finished
    (found,) = findings(with_metrics(node, seen - 300, seen - 301), "sync_lag")

    assert found.since == Since(seen - 301, "kube-proxy's last sync")


def test_a_kube_proxy_that_never_synced_shows_no_time(node):
    seen = node.seen.facts.finished
    found = findings(with_metrics(node, seen - 300, 0), "sync_lag")

    assert [each.since for each in found] == [None]


def test_a_sync_may_be_given_more_time(node):
    index = replace(node.cluster.index, thresholds={"kube_proxy.sync_delay": 400})
    patient = Cluster(node.cluster.api, index, node.cluster.round)
    seen = node.seen.facts.finished
    late = with_metrics(node, seen - 300, seen - 301)

    assert not findings(Node(patient, late.object, late.visit, late.document), "sync_lag")


def configured(node: Node, mode: str) -> Node:
    maps = [
        replace(each, data={"config.conf": f"kind: KubeProxyConfiguration\nmode: {mode}\n"})
        if each.metadata.name == "kube-proxy"
        else each
        for each in node.cluster.api.config_maps
    ]
    cluster = Cluster(
        replace(node.cluster.api, config_maps=maps), node.cluster.index, node.cluster.round
    )
    return Node(cluster, node.object, node.visit, node.document)


def test_a_mode_that_was_configured_meanwhile_is_found(node):
    (found,) = findings(configured(node, "nftables"), "configured_mode")

    assert (found.expected, found.found) == ("nftables", "iptables")


def test_an_empty_mode_is_iptables(node):
    assert not findings(configured(node, '""'), "configured_mode")


def test_a_mode_that_is_not_reported_is_not_evaluated(node):
    silent = with_http(configured(node, "iptables"), "proxyMode", HttpAnswer(error="refused"))

    with pytest.raises(NotApplicable, match="does not report"):
        _ = silent.proxy.actual_mode


def test_a_config_map_of_another_name_is_not_known(node):
    nothing = Cluster(
        replace(node.cluster.api, config_maps=[]), node.cluster.index, node.cluster.round
    )

    with pytest.raises(NotApplicable, match="has no known ConfigMap"):
        _ = Node(nothing, node.object, node.visit, node.document).proxy.configured_mode


def with_ip_vs(node: Node, address: str, port: str, *, is_bound: bool = True) -> Node:
    """With a virtual server; `is_bound` if its address is on kube-proxy's interface."""
    files = {
        **node.seen.facts.files,
        "/proc/net/ip_vs": IP_VS.format(address=address, port=port),
    }
    facts = replace(node.seen.facts, files=files)
    bound = str(IPv4Address(int(address, 16)))
    if is_bound:
        facts = replace(facts, namespaces=[with_kube_ipvs0(facts.namespaces[0], bound)])
    return Node(node.cluster, node.object, node.visit, facts)


def with_kube_ipvs0(host: Namespace, *bound: str) -> Namespace:
    """The node's netns with the interface of IPVS mode and these addresses on it."""
    return replace(
        host,
        links=[*host.links, Link(99, "kube-ipvs0", kind="dummy")],
        addresses=[*host.addresses, *(Address(99, each, 32) for each in bound)],
    )


def test_virtual_servers_of_living_services_are_harmless(node):
    left = findings(with_ip_vs(node, "0A600001", "01BB"), "no_leftover_mode")

    assert [each.level for each in left] == [Level.WARN]
    assert left[0].found == "1 virtual servers"
    assert left[0].subject.part == "ipvs leftovers"


def test_a_virtual_server_of_a_service_that_is_gone_does_harm(node):
    left = findings(with_ip_vs(node, "0A600909", "01BB"), "no_leftover_mode")

    assert [each.level for each in left] == [Level.WARN, Level.FAIL]
    assert "10.96.9.9:443/tcp" in str(left[1].subject)
    assert left[1].found == "forwarded to 10.244.1.2:8080"


def test_virtual_servers_without_a_sign_of_kube_proxy_are_ignored(node):
    assert not findings(with_ip_vs(node, "0A600909", "01BB", is_bound=False), "no_leftover_mode")


def test_only_kube_proxys_virtual_servers_are_left_over(node):
    """kube-vip balances the API servers at an address of its own, beside what IPVS mode left."""
    left = with_ip_vs(node, "0A600909", "01BB")
    kube_vip = "TCP  C0000264:192B rr\n  -> C0000201:192B      Local   1      0          0\n"
    text = left.seen.facts.files["/proc/net/ip_vs"] + kube_vip
    facts = replace(left.seen.facts, files={**left.seen.facts.files, "/proc/net/ip_vs": text})
    both = findings(Node(left.cluster, left.object, left.visit, facts), "no_leftover_mode")

    assert [each.found for each in both] == ["1 virtual servers", "forwarded to 10.244.1.2:8080"]
    assert both[1].evidence == ("TCP  10.96.9.9:443 rr", "-> 10.244.1.2:8080 Masq 1")


def test_an_ipset_of_kube_proxy_shows_its_virtual_servers(node):
    sets = (
        "create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536\n"
        "add KUBE-CLUSTER-IP 10.96.9.9,tcp:443\n"
    )
    listed = with_output(node, "ipset-save", sets, **RAN)

    assert findings(with_ip_vs(listed, "0A600909", "01BB", is_bound=False), "no_leftover_mode")
    assert not findings(with_ip_vs(listed, "0A600908", "01BB", is_bound=False), "no_leftover_mode")


def test_virtual_servers_that_are_none_of_kube_proxys_are_ignored(node):
    configz = {"mode": "iptables", "ipvs": {"excludeCIDRs": ["10.96.9.0/24"]}}
    other = with_http(node, "configz", HttpAnswer(200, json.dumps(configz)))

    assert not list(with_ip_vs(other, "0A600909", "01BB").dataplane.leftovers)


def test_an_nftables_table_that_is_left_does_harm(node):
    text = gzip.decompress((KUBE_PROXY / "1.33.13.nft.json.gz").read_bytes()).decode()
    left = findings(with_output(node, "nft-kube-proxy", text, **RAN), "no_leftover_mode")

    assert left[0].level is Level.WARN
    assert "nftables" in str(left[0].subject)
    assert any(each.level is Level.FAIL and "no Service" in each.expected for each in left)


def test_chains_of_iptables_mode_beside_ipvs_are_harmless_where_nothing_calls_them(ipvs_node):
    text = ipvs_node.seen.output_of("iptables-nft-save")
    chain = "KUBE-SEP-AAAAAAAAAAAAAAAA"
    text = text.replace("*nat\n", f"*nat\n:{chain} - [0:0]\n")
    rule = f"-A {chain} -p tcp -m tcp -j DNAT --to-destination 10.9.9.9:80\n"
    at = text.index("COMMIT", text.index("*nat"))
    left = failing(with_output(ipvs_node, "iptables-nft-save", text[:at] + rule + text[at:]))

    assert set(left) == {"kube_proxy.no_leftover_mode"}
    (finding,) = left["kube_proxy.no_leftover_mode"]
    assert finding.level is Level.WARN
    assert finding.evidence == (chain,)


RAN = {"problem": "", "status": 0}


def test_rules_in_both_variants_are_found(node):
    nat = re.search(r"(?ms)^# Generated[^\n]*\n\*nat\n.*?^# Completed[^\n]*\n", rules(node))
    assert nat
    legacy = nat[0].replace("(nf_tables)", "(legacy)")
    both = with_output(node, "iptables-legacy-save", legacy, **RAN)
    (found,) = findings(both, "single_iptables_variant")

    assert "IPv4" in str(found.subject)
    assert {each.partition(":")[0] for each in found.evidence} == {"legacy", "nft"}
    assert all("KUBE-SERVICES" in each for each in found.evidence)


def test_kubelets_chains_alone_in_the_other_variant_are_not_service_rules(node):
    legacy = (
        "# Generated by iptables-save v1.8.9 (legacy) on Mon Nov 23 02:36:05 2026\n*mangle\n"
        ":KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n# Completed on Mon Nov 23 02:36:05 2026\n"
    )

    assert not failing(with_output(node, "iptables-legacy-save", legacy, **RAN))


@pytest.mark.parametrize("command", ["nft-kube-proxy", "iptables-legacy-save"])
def test_leftovers_that_cannot_be_read_are_an_error(node, command):
    failed = with_output(node, command, "", problem="time limit")

    with pytest.raises(FactMissingError, match="time limit"):
        _ = failed.dataplane


def test_a_command_that_was_never_run_is_an_error(node):
    commands = {k: v for k, v in node.seen.facts.commands.items() if k != "nft-kube-proxy"}
    bare = Node(node.cluster, node.object, node.visit, replace(node.seen.facts, commands=commands))

    with pytest.raises(FactMissingError, match="nft-kube-proxy was not run"):
        _ = bare.dataplane


@pytest.mark.parametrize("version", ["v1.19.16", "v1.23.17", "v1.25.0", "v1.38.0"])
def test_a_version_that_is_not_supported_is_named(node, version):
    answer = HttpAnswer(200, f'kubernetes_build_info{{git_version="{version}"}} 1')
    minor = version.split(".")[1]

    with pytest.raises(SharedCauseError, match=f"kube-proxy 1.{minor} on wc-w1 is not supported"):
        _ = with_http(node, "metrics", answer).dataplane


@pytest.mark.parametrize("version", ["v1.26.0", "v1.37.2"])
def test_the_oldest_and_the_newest_version_are_compared(node, version):
    answer = HttpAnswer(200, f'kubernetes_build_info{{git_version="{version}"}} 1')

    assert with_http(node, "metrics", answer).dataplane.compared
