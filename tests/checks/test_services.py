"""The checks of Services, on nodes of a real cluster whose rules are then changed."""

import gzip
import json
import re
from pathlib import Path

import pytest
from msgspec import convert
from msgspec.structs import replace

from testbed.record import RECORDED
from wirecheck.catalogue import load
from wirecheck.findings import FactMissingError, Level, NotApplicable
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import LookRecord, SnapshotIndex, VisitRecord
from wirecheck.snapshot.node_document import (
    Address,
    Command,
    Host,
    HttpAnswer,
    Link,
    Namespace,
    NodeDocument,
)

SERVICES = tuple(check.id for check in load() if check.group == "services")
IPVS = Path(__file__).parents[1] / "recorded/nodes/ipvs.json.gz"


@pytest.fixture
def node() -> Node:
    """A worker of the recorded healthy cluster, in iptables mode."""
    snapshot = Snapshot.open(RECORDED / "healthy")
    cluster = Cluster(snapshot.api(), snapshot.index, snapshot.index.looks[0])
    return Node(cluster, cluster.nodes["wc-w1"], VisitRecord("seen"), snapshot.document("wc-w1"))


@pytest.fixture
def ipvs_node() -> Node:
    """A node in IPVS mode."""
    texts = json.loads(gzip.decompress(IPVS.read_bytes()))
    addresses = [Address(2, each, 128 if ":" in each else 32) for each in texts["addresses"]]
    ran = {
        "iptables-nft-save": "iptables",
        "ip6tables-nft-save": "ip6tables",
        "ipset-save": "ipset",
    }
    document = NodeDocument(
        format=1,
        program="0",
        started=0.0,
        finished=1.0,
        host=Host("wc-vm"),
        namespaces=[Namespace(1, links=[Link(2, "ens3")], addresses=addresses)],
        files={"/proc/net/ip_vs": texts["ip_vs"]},
        commands={name: Command([name], status=0, output=texts[key]) for name, key in ran.items()},
        http={
            "proxyMode": HttpAnswer(200, "ipvs"),
            "configz": HttpAnswer(200, json.dumps(texts["configz"])),
            "metrics": HttpAnswer(
                200, f'kubernetes_build_info{{git_version="{texts["version"]}"}} 1'
            ),
            "healthz": HttpAnswer(200, "{}"),
        },
    )
    cluster = Cluster(
        convert(texts["api"], ApiObjects), SnapshotIndex(1, "0", 0.0), LookRecord(0.0, 1.0)
    )
    (api_node,) = cluster.nodes.values()
    return Node(cluster, api_node, VisitRecord("seen"), document)


def with_output(node: Node, command: str, output: str, **more) -> Node:
    commands = {**node.seen.commands}
    commands[command] = replace(commands[command], output=output, **more)
    return Node(node.cluster, node.object, node.visit, replace(node.seen, commands=commands))


def with_http(node: Node, endpoint: str, answer: HttpAnswer) -> Node:
    http = {**node.seen.http, endpoint: answer}
    return Node(node.cluster, node.object, node.visit, replace(node.seen, http=http))


def rules(node: Node) -> str:
    return node.output_of("iptables-nft-save")


def red(node: Node) -> dict[str, list]:
    found = {c.id: list(c.function(node)) for c in load() if c.id in SERVICES}
    return {check: findings for check, findings in found.items() if findings}


def test_the_healthy_nodes_have_no_finding(node, ipvs_node):
    assert red(node) == {}
    assert node.dataplane.differences.compared > 25
    assert red(ipvs_node) == {}
    assert ipvs_node.dataplane.differences.compared > 25


def test_a_rule_that_is_gone_is_a_frontend_that_is_missing(node):
    (rule,) = re.findall(r'.*KUBE-SERVICES .*"shop/web:http cluster IP".*\n', rules(node))
    found = red(with_output(node, "iptables-nft-save", rules(node).replace(rule, "")))

    assert set(found) == {"services.frontends_are_programmed"}
    (finding,) = found["services.frontends_are_programmed"]
    assert (finding.subject.namespace, finding.subject.name) == ("shop", "web")


def test_a_backend_that_leads_elsewhere_is_missing_and_wrong(node):
    (old, *_) = re.findall(r'"shop/web:http" .*--to-destination (\S+)', rules(node))
    text = re.sub(
        rf'("shop/web:http" .*--to-destination ){old}', r"\g<1>10.9.9.9:8080", rules(node)
    )
    found = red(with_output(node, "iptables-nft-save", text))

    assert set(found) == {"services.backends_are_programmed", "services.backends_exist"}
    (finding,) = found["services.backends_exist"]
    assert "10.9.9.9:8080" in finding.found
    assert any("10.9.9.9:8080" in line for line in finding.evidence)


def test_a_changed_probability_is_found(node):
    old = re.search(r'"shop/web:http -> .*--probability (\S+)', rules(node))
    assert old
    changed = old[0].replace(old[1], "0.90000000000")
    found = red(with_output(node, "iptables-nft-save", rules(node).replace(old[0], changed)))

    assert set(found) == {"services.backends_share_evenly"}


def test_a_service_that_is_gone_leaves_a_frontend_behind(node):
    api = node.cluster.api
    kept = [each for each in api.services if each.metadata.name != "web"]
    cluster = Cluster(replace(api, services=kept), node.cluster.index, node.cluster.look)
    found = red(Node(cluster, node.object, node.visit, node.document))

    assert set(found) == {"services.frontends_exist"}


def test_affinity_that_is_gone_is_found(node):
    text = "\n".join(
        re.sub(r"-m recent --set --name \S+ --mask \S+ --rsource ", "", line)
        for line in rules(node).splitlines()
        if "--rcheck" not in line
    )
    found = red(with_output(node, "iptables-nft-save", f"{text}\n"))

    assert set(found) == {"services.clients_are_treated_as_asked"}


@pytest.mark.parametrize(
    ("output", "more"),
    [("", {"problem": "time limit", "status": None}), ("", {"problem": "missing", "status": None})],
)
def test_rules_that_were_not_read_are_an_error(node, output, more):
    with pytest.raises(FactMissingError):
        list(with_output(node, "iptables-nft-save", output, **more).dataplane.of())


def test_rules_that_are_cut_are_an_error_and_never_a_pass(node):
    half = rules(node)[: len(rules(node)) // 2]

    with pytest.raises(FactMissingError, match="wc-w1"):
        _ = with_output(node, "iptables-nft-save", half).dataplane


def test_a_match_that_is_not_known_is_an_error_of_that_frontend(node):
    text = rules(node).replace(
        '-p tcp -m comment --comment "shop/web:http cluster IP"',
        '-p tcp -m shiny --new -m comment --comment "shop/web:http cluster IP"',
    )
    found = red(with_output(node, "iptables-nft-save", text))

    assert set(found) == {"services.frontends_are_programmed"}
    assert {each.level for each in found["services.frontends_are_programmed"]} == {Level.ERROR}


def test_a_real_server_that_is_gone_is_found_in_ipvs(ipvs_node):
    ip_vs = ipvs_node.file("/proc/net/ip_vs")
    server = re.search(r"(UDP  0A60000A:0035 .*\n)(  -> .*\n)", ip_vs)  # 10.96.0.10:53
    assert server
    files = {"/proc/net/ip_vs": ip_vs.replace(server[0], server[1])}
    document = replace(ipvs_node.seen, files=files)
    found = red(Node(ipvs_node.cluster, ipvs_node.object, ipvs_node.visit, document))

    assert set(found) == {"services.backends_are_programmed"}
    (finding,) = found["services.backends_are_programmed"]
    assert finding.subject.name == "kube-dns"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (HttpAnswer(503, '{"lastUpdated": "never"}'), "status 503"),
        (HttpAnswer(error="timed out"), "timed out"),
    ],
)
def test_a_kube_proxy_that_is_not_in_sync_is_found(node, answer, words):
    found = red(with_http(node, "healthz", answer))

    assert set(found) == {"services.kube_proxy_is_in_sync"}
    assert words in found["services.kube_proxy_is_in_sync"][0].found


def test_a_kube_proxy_that_says_nothing_is_known_by_its_configuration(node):
    silent = {name: HttpAnswer(error="timed out") for name in node.seen.http}
    hung = Node(node.cluster, node.object, node.visit, replace(node.seen, http=silent))

    assert (hung.proxy.mode, hung.proxy.version) == ("iptables", "v1.34.4")
    assert set(red(hung)) == {"services.kube_proxy_is_in_sync"}


def test_a_replacement_of_kube_proxy_is_said(node):
    config = convert(
        {
            "metadata": {"name": "cilium-config", "namespace": "kube-system"},
            "data": {"kube-proxy-replacement": "true"},
        },
        type(node.cluster.api.config_maps[0]),
    )
    api = replace(node.cluster.api, config_maps=[*node.cluster.api.config_maps, config])
    replaced = Node(
        Cluster(api, node.cluster.index, node.cluster.look), node.object, node.visit, node.document
    )

    with pytest.raises(NotApplicable, match="Cilium"):
        red(replaced)
