"""The checks of Services, on nodes of a real cluster whose rules are then changed."""

import gzip
import json
import re
from contextlib import suppress
from pathlib import Path

import pytest
from msgspec import convert
from msgspec.structs import replace

from testbed.record import RECORDED
from wirecheck.catalogue.findings import (
    FactMissingError,
    Level,
    NotApplicable,
    SharedCauseError,
)
from wirecheck.catalogue.registry import load
from wirecheck.collect.on_node.commands import TABLE
from wirecheck.model.cluster import Cluster
from wirecheck.model.node import Node
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex, VisitRecord, VisitStatus
from wirecheck.snapshot.netns import Address, Link, Namespace
from wirecheck.snapshot.node_document import Command, Host, HttpAnswer, NodeDocument

SERVICES = tuple(
    check.id
    for check in load()
    if check.group in ("services", "kube_proxy") and check.scope == "node"
)
IPVS = Path(__file__).parents[1] / "recorded/nodes/ipvs.json.gz"


@pytest.fixture
def node() -> Node:
    """A worker of the recorded healthy cluster, in iptables mode."""
    snapshot = Snapshot.open(RECORDED / "healthy")
    cluster = Cluster(snapshot.api(), snapshot.index, snapshot.index.looks[0])
    return Node(
        cluster, cluster.nodes["wc-w1"], VisitRecord(VisitStatus.SEEN), snapshot.document("wc-w1")
    )


@pytest.fixture
def ipvs_node() -> Node:
    """A node in IPVS mode."""
    texts = json.loads(gzip.decompress(IPVS.read_bytes()))
    links = [Link(2, "ens3"), Link(3, "kube-ipvs0")]
    bound = re.findall(r"add KUBE-(?:6-)?IPVS-IPS (\S+)", texts["ipset"])
    addresses = [
        Address(3 if each in bound else 2, each, 128 if ":" in each else 32)
        for each in texts["addresses"]
    ]
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
        namespaces=[Namespace(1, links=links, addresses=addresses)],
        files={"/proc/net/ip_vs": texts["ip_vs"]},
        commands={name: Command([name], problem="not asked: no reason") for name in TABLE}
        | {name: Command([name], status=0, output=texts[key]) for name, key in ran.items()},
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
        convert(texts["api"], ApiObjects), SnapshotIndex(1, "0", 0.0), RoundRecord(0.0, 1.0)
    )
    (api_node,) = cluster.nodes.values()
    return Node(cluster, api_node, VisitRecord(VisitStatus.SEEN), document)


def with_output(node: Node, command: str, output: str, **more) -> Node:
    commands = {**node.seen.facts.commands}
    commands[command] = replace(commands[command], output=output, **more)
    return Node(node.cluster, node.object, node.visit, replace(node.seen.facts, commands=commands))


def with_http(node: Node, endpoint: str, answer: HttpAnswer) -> Node:
    http = {**node.seen.facts.http, endpoint: answer}
    return Node(node.cluster, node.object, node.visit, replace(node.seen.facts, http=http))


def rules(node: Node) -> str:
    return node.seen.output_of("iptables-nft-save")


def failing(node: Node) -> dict[str, list]:
    found = {}
    for check in load():
        if check.id in SERVICES:
            with suppress(NotApplicable):
                found[check.id] = [f for f in check.findings(node) if not f.inconclusive]
    assert found
    return {check: findings for check, findings in found.items() if findings}


def test_the_healthy_nodes_have_no_finding(node, ipvs_node):
    assert failing(node) == {}
    assert node.dataplane.compared > 25
    assert failing(ipvs_node) == {}
    assert ipvs_node.dataplane.compared > 25


def test_a_rule_that_is_gone_is_a_frontend_that_is_missing(node):
    (rule,) = re.findall(r'.*KUBE-SERVICES .*"shop/web:http cluster IP".*\n', rules(node))
    found = failing(with_output(node, "iptables-nft-save", rules(node).replace(rule, "")))

    assert set(found) == {"services.frontends_programmed"}
    (finding,) = found["services.frontends_programmed"]
    assert (finding.subject.namespace, finding.subject.name) == ("shop", "web")


def test_a_backend_that_goes_elsewhere_is_missing_and_wrong(node):
    (old, *_) = re.findall(r'"shop/web:http" .*--to-destination (\S+)', rules(node))
    text = re.sub(
        rf'("shop/web:http" .*--to-destination ){old}', r"\g<1>10.9.9.9:8080", rules(node)
    )
    found = failing(with_output(node, "iptables-nft-save", text))

    assert set(found) == {"services.backends_programmed", "services.no_stale_backends"}
    (finding,) = found["services.no_stale_backends"]
    assert "10.9.9.9:8080" in finding.found
    assert any("10.9.9.9:8080" in line for line in finding.evidence)


def identities(node: Node, check: str) -> set:
    return {finding.identity for finding in failing(node)[check]}


def test_each_wrong_backend_is_a_finding_of_its_own_whatever_else_the_api_asks_for(node):
    text = rules(node)
    old = re.findall(r'"shop/web:http" .*--to-destination (\S+)', text)
    for number, each in enumerate(old[:2]):
        pattern = rf'("shop/web:http" .*--to-destination ){each}'
        text = re.sub(pattern, rf"\g<1>10.9.9.{number}:8080", text)
    wrong = with_output(node, "iptables-nft-save", text)
    found = identities(wrong, "services.no_stale_backends")
    assert len(found) == 2

    api = node.cluster.api
    gone = old[3].partition(":")[0]
    slices = [
        replace(each, endpoints=[e for e in each.endpoints or () if gone not in e.addresses])
        for each in api.endpoint_slices
    ]
    cluster = Cluster(replace(api, endpoint_slices=slices), node.cluster.index, node.cluster.round)
    scaled_down = Node(cluster, node.object, node.visit, wrong.document)
    assert found < identities(scaled_down, "services.no_stale_backends")


def test_a_changed_probability_is_found(node):
    old = re.search(r'"shop/web:http -> .*--probability (\S+)', rules(node))
    assert old
    changed = old[0].replace(old[1], "0.90000000000")
    found = failing(with_output(node, "iptables-nft-save", rules(node).replace(old[0], changed)))

    assert set(found) == {"services.even_weights"}


def test_a_service_that_is_gone_leaves_a_frontend_behind(node):
    api = node.cluster.api
    kept = [each for each in api.services if each.metadata.name != "web"]
    cluster = Cluster(replace(api, services=kept), node.cluster.index, node.cluster.round)
    found = failing(Node(cluster, node.object, node.visit, node.document))

    assert set(found) == {"services.no_stale_frontends"}


def test_affinity_that_is_gone_is_found(node):
    text = "\n".join(
        re.sub(r"-m recent --set --name \S+ --mask \S+ --rsource ", "", line)
        for line in rules(node).splitlines()
        if "--rcheck" not in line
    )
    found = failing(with_output(node, "iptables-nft-save", f"{text}\n"))

    assert set(found) == {"services.session_affinity"}


@pytest.mark.parametrize(
    ("output", "more"),
    [("", {"problem": "time limit", "status": None}), ("", {"problem": "missing", "status": None})],
)
def test_rules_that_were_not_read_are_an_error(node, output, more):
    with pytest.raises(FactMissingError):
        list(with_output(node, "iptables-nft-save", output, **more).dataplane.of())


@pytest.mark.parametrize(
    ("seconds", "said"), [(48.2, "it had run for 48 s"), (0.0, "it had not started")]
)
def test_rules_that_took_too_long_are_reported_with_their_command_and_the_remedy(
    node, seconds, said
):
    limit = {"problem": "time limit", "status": None, "seconds": seconds}
    slow = with_output(node, "iptables-nft-save", "", **limit)

    with pytest.raises(FactMissingError, match=f"iptables-nft-save on .*{said}.*`limits.node`"):
        _ = slow.dataplane


def test_rules_that_are_cut_are_an_error_and_never_a_pass(node):
    half = rules(node)[: len(rules(node)) // 2]

    with pytest.raises(FactMissingError, match="wc-w1"):
        _ = with_output(node, "iptables-nft-save", half).dataplane


def test_a_match_that_is_not_known_is_an_error_of_that_frontend(node):
    text = rules(node).replace(
        '-p tcp -m comment --comment "shop/web:http cluster IP"',
        '-p tcp -m shiny --new -m comment --comment "shop/web:http cluster IP"',
    )
    found = failing(with_output(node, "iptables-nft-save", text))

    assert set(found) == {"services.frontends_programmed"}
    assert {each.level for each in found["services.frontends_programmed"]} == {Level.ERROR}


def test_a_real_server_that_is_gone_is_found_in_ipvs(ipvs_node):
    ip_vs = ipvs_node.seen.file("/proc/net/ip_vs")
    server = re.search(r"(UDP  0A60000A:0035 .*\n)(  -> .*\n)", ip_vs)  # 10.96.0.10:53
    assert server
    files = {"/proc/net/ip_vs": ip_vs.replace(server[0], server[1])}
    document = replace(ipvs_node.seen.facts, files=files)
    found = failing(Node(ipvs_node.cluster, ipvs_node.object, ipvs_node.visit, document))

    assert set(found) == {"services.backends_programmed"}
    (finding,) = found["services.backends_programmed"]
    assert finding.subject.name == "kube-dns"


HOST_PORT = """-A PREROUTING -m addrtype --dst-type LOCAL -j KUBE-HOSTPORTS
-A OUTPUT -m addrtype --dst-type LOCAL -j KUBE-HOSTPORTS
-A KUBE-HOSTPORTS -p tcp -m tcp --dport {port} -j KUBE-HP-WLTF
-A KUBE-HP-WLTF -p tcp -m tcp -j DNAT --to-destination 10.244.9.9:443
"""


def with_host_port(node: Node, port: int, *, is_first: bool) -> Node:
    """CRI-O's rules for a host port, behind kube-proxy's as CRI-O writes them, or before."""
    head, nat, tail = re.split(r"(?s)(\*nat\n.*?)(?=COMMIT)", rules(node), maxsplit=1)
    declared = ":KUBE-HOSTPORTS - [0:0]\n:KUBE-HP-WLTF - [0:0]\n"
    name, chains, added = re.split(r"(?s)((?::[^\n]*\n)+)", nat, maxsplit=1)
    host_port = HOST_PORT.format(port=port)
    own = [host_port, added] if is_first else [added, host_port]
    text = "".join([head, name, chains, declared, *own, tail])
    return with_output(node, "iptables-nft-save", text)


def test_a_host_port_of_cri_o_is_no_stale_node_port(node):
    assert failing(with_host_port(node, 8443, is_first=False)) == {}


def test_a_host_port_of_cri_o_before_a_node_port_shadows_it(node):
    assert failing(with_host_port(node, 30080, is_first=False)) == {}

    found = failing(with_host_port(node, 30080, is_first=True))
    assert set(found) == {"services.not_shadowed"}
    assert "KUBE-HP-WLTF" in " ".join(found["services.not_shadowed"][0].evidence)


@pytest.mark.parametrize(
    ("server", "is_stale"),
    [("0A670A02:192B", False), ("0A600909:192B", True), ("AC1FFA14:7D01", True)],
    ids=["another program's", "bound to kube-ipvs0", "a node port"],
)
def test_a_virtual_server_of_another_program_is_not_stale_in_ipvs_mode(ipvs_node, server, is_stale):
    """lvscare has its address on a device of its own."""
    more = f"TCP  {server} rr\n  -> C0000201:192B      Masq    1      0          0\n"
    text = ipvs_node.seen.file("/proc/net/ip_vs") + more
    host = ipvs_node.seen.facts.namespaces[0]
    index = next(each.index for each in host.links if each.name == "kube-ipvs0")
    bound = [*host.addresses, Address(index, "10.96.9.9", 32)]
    document = replace(
        ipvs_node.seen.facts,
        files={"/proc/net/ip_vs": text},
        commands={
            name: each
            for name, each in ipvs_node.seen.facts.commands.items()
            if name != "ipvsadm-save"
        },
        namespaces=[replace(host, addresses=bound), *ipvs_node.seen.facts.namespaces[1:]],
    )
    found = failing(Node(ipvs_node.cluster, ipvs_node.object, ipvs_node.visit, document))

    assert ("services.no_stale_frontends" in found) is is_stale


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (HttpAnswer(503, '{"lastUpdated": "never"}'), "status 503"),
        (HttpAnswer(error="timed out"), "timed out"),
    ],
)
def test_a_kube_proxy_that_is_not_in_sync_is_found(node, answer, words):
    found = failing(with_http(node, "healthz", answer))

    assert set(found) == {"kube_proxy.healthz"}
    assert words in found["kube_proxy.healthz"][0].found


def test_a_kube_proxy_that_does_not_answer_is_known_by_its_configuration(node):
    silent = {name: HttpAnswer(error="timed out") for name in node.seen.facts.http}
    hung = Node(node.cluster, node.object, node.visit, replace(node.seen.facts, http=silent))

    assert (hung.proxy.mode, hung.proxy.version) == ("iptables", "v1.34.4")
    assert set(failing(hung)) == {"kube_proxy.healthz"}


def test_a_replacement_of_kube_proxy_is_said(node):
    config = convert(
        {
            "metadata": {"name": "cilium-config", "namespace": "kube-system"},
            "data": {"kube-proxy-replacement": "true"},
        },
        type(node.cluster.api.config_maps[0]),
    )
    api = replace(node.cluster.api, config_maps=[*node.cluster.api.config_maps, config])
    cluster = Cluster(api, node.cluster.index, node.cluster.round)
    host, *others = node.seen.facts.namespaces
    host = replace(host, links=[*host.links, Link(99, "cilium_host")])
    facts = replace(node.seen.facts, namespaces=[host, *others])

    with pytest.raises(NotApplicable, match="Cilium"):
        _ = Node(cluster, node.object, node.visit, facts).proxy
    # Its agent does not run on a node without the device, where kube-proxy answers.
    assert Node(cluster, node.object, node.visit, node.document).proxy.mode == "iptables"


def in_nat(text: str, old: str, new: str) -> str:
    """The rules with `old` replaced by `new` where it first occurs in table nat."""
    at = text.index("*nat")
    assert old in text[at:]
    return text[:at] + text[at:].replace(old, new, 1)


def hook(node: Node, chain: str) -> str:
    (line,) = re.findall(
        rf"-A {chain} [^\n]*-j KUBE-[A-Z]+\n", rules(node)[rules(node).index("*nat") :]
    )
    return line


def test_a_missing_hook_is_one_finding_and_not_one_for_each_service(node):
    text = in_nat(rules(node), hook(node, "PREROUTING"), "")
    found = failing(with_output(node, "iptables-nft-save", text))

    assert set(found) == {"services.rules_reachable"}
    (finding,) = found["services.rules_reachable"]
    assert finding.subject.part == "IPv4 tcp, udp Service rules"
    assert "pods on this node, pods on other nodes, clients outside" in finding.expected
    assert not any("KUBE-SERVICES" in line for line in finding.evidence if "PREROUTING" in line)


def test_a_rule_that_ends_the_walk_early_hides_one_protocol(node):
    first = hook(node, "PREROUTING")
    text = in_nat(rules(node), first, f"-A PREROUTING -p tcp -j ACCEPT\n{first}")
    found = failing(with_output(node, "iptables-nft-save", text))

    assert set(found) == {"services.rules_reachable"}
    (finding,) = found["services.rules_reachable"]
    assert finding.subject.part == "IPv4 tcp Service rules"
    assert "-A PREROUTING -p tcp -j ACCEPT" in finding.evidence


def test_node_ports_may_be_cut_off_alone(node):
    (jump,) = re.findall(r"-A KUBE-SERVICES [^\n]*-j KUBE-NODEPORTS\n", rules(node))
    found = failing(with_output(node, "iptables-nft-save", in_nat(rules(node), jump, "")))

    assert set(found) == {"services.rules_reachable"}
    parts = {each.subject.part for each in found["services.rules_reachable"]}
    assert parts <= {"IPv4 tcp, udp node ports Service rules", "IPv4 tcp node ports Service rules"}


def test_no_rules_at_all_are_a_few_findings(node):
    text = "\n".join(line for line in rules(node).splitlines() if "KUBE-" not in line) + "\n"
    found = failing(with_output(node, "iptables-nft-save", text))

    assert "services.rules_reachable" in found
    findings = [each for each_check in found.values() for each in each_check]
    assert len(findings) < 8, "a Service each would hide the cause"


def test_masquerading_that_is_missing_altogether_is_one_finding(node):
    text = in_nat(rules(node), hook(node, "POSTROUTING"), "")
    found = failing(with_output(node, "iptables-nft-save", text))

    assert set(found) == {"services.masquerade"}
    parts = [each.subject.part for each in found["services.masquerade"]]
    assert "IPv4 tcp, udp Service rules" in parts


def test_a_foreign_dnat_that_takes_a_node_port_is_a_shadow(node):
    port = next(
        p.node_port
        for s in node.cluster.api.services
        for p in s.spec.ports
        if p.node_port and s.metadata.name == "web-nodeport"
    )
    first = hook(node, "PREROUTING")
    foreign = f"-A PREROUTING -p tcp -m tcp --dport {port} -j DNAT --to-destination 10.9.9.9:80"
    text = in_nat(rules(node), first, f"{foreign}\n{first}")
    found = failing(with_output(node, "iptables-nft-save", text))

    assert set(found) == {"services.not_shadowed"}
    (finding,) = found["services.not_shadowed"]
    assert f"node port {port}/tcp" in finding.subject.part
    assert finding.evidence == (foreign,)


def test_a_reject_that_outlives_the_lack_of_endpoints_is_found(node):
    reject = (
        '-A KUBE-SERVICES -d {}/32 -p tcp -m comment --comment "shop/web:http has no endpoints" '
        "-m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable\n"
    )
    (jump,) = re.findall(r'.*KUBE-SERVICES .*"shop/web:http cluster IP".*\n', rules(node))
    address = re.search(r"-d (\S+)/32", jump)
    assert address
    nat = rules(node).replace(jump, "")
    at = nat.index("COMMIT", nat.index("*filter"))
    text = nat[:at] + reject.format(address[1]) + nat[at:]
    found = failing(with_output(node, "iptables-nft-save", text))

    assert set(found) == {"services.refused_or_dropped"}
    (finding,) = found["services.refused_or_dropped"]
    assert finding.found == "rejected"


@pytest.mark.parametrize(
    ("device", "name"), [("kube-dummy-if", "kube-router"), ("bpfout.cali", "Calico")]
)
def test_a_replacement_is_known_by_its_device_where_no_kube_proxy_is(ipvs_node, device, name):
    """Devices as the projects' documentation names them; no such node was at hand."""
    silent = {each: HttpAnswer(error="refused") for each in ipvs_node.seen.facts.http}
    (host,) = ipvs_node.seen.facts.namespaces
    host = replace(host, links=[*host.links, Link(9, device)])
    document = replace(ipvs_node.seen.facts, namespaces=[host])
    pods = [p for p in ipvs_node.cluster.api.pods if not p.metadata.name.startswith("kube-proxy")]
    cluster = Cluster(
        replace(ipvs_node.cluster.api, pods=pods), ipvs_node.cluster.index, ipvs_node.cluster.round
    )
    answering = Node(cluster, ipvs_node.object, ipvs_node.visit, document)
    replaced = Node(cluster, ipvs_node.object, ipvs_node.visit, replace(document, http=silent))

    assert answering.proxy.mode == "ipvs"
    with pytest.raises(NotApplicable, match=name):
        _ = replaced.proxy


def test_the_maps_of_calico_are_recognised_and_never_a_pass(ipvs_node):
    """As `ls /sys/fs/bpf/tc/globals` prints their names on a node; the sizes are made up."""
    known = EbpfMap("cali_v4_nat_fe3", 11, 16, 24, 65536, 52)
    maps = EbpfMaps("little", problem="no map of Services", unsupported=[known])
    (host,) = ipvs_node.seen.facts.namespaces
    host = replace(host, links=[*host.links, Link(9, "bpfout.cali")])
    answering = Node(
        ipvs_node.cluster,
        ipvs_node.object,
        ipvs_node.visit,
        replace(ipvs_node.seen.facts, namespaces=[host], ebpf=maps),
    )
    silent = {each: HttpAnswer(error="refused") for each in ipvs_node.seen.facts.http}
    api = ipvs_node.cluster.api
    pods = [each for each in api.pods if not each.metadata.name.startswith("kube-proxy")]
    calico = Node(
        Cluster(replace(api, pods=pods), ipvs_node.cluster.index, ipvs_node.cluster.round),
        ipvs_node.object,
        ipvs_node.visit,
        replace(answering.seen.facts, http=silent),
    )

    assert answering.dataplane.of_rules  # The maps may be left over.
    with pytest.raises(SharedCauseError) as refused:
        _ = calico.dataplane
    assert "Calico (eBPF) forwards Services on this node, not kube-proxy" in str(refused.value)
    assert "cali_v4_nat_fe3 (keys of 16 bytes, values of 24 bytes, 52 entries)" in str(
        refused.value
    )
    items = [each for each in load() if each.id.startswith("services.") and each.scope == "node"]
    outcomes = {each.id: list_or_error(each, calico) for each in items}
    assert not [each for each, found in outcomes.items() if found == []]


def list_or_error(check, node):
    try:
        return list(check.function(node))
    except (FactMissingError, NotApplicable) as error:
        return error


@pytest.mark.parametrize(
    "rule",
    [
        "-A CNI-HOSTPORT-MASQ -m shiny --new -j MASQUERADE",
        "-A POSTROUTING -s 192.168.0.0/16 -j SHINY --new",
    ],
)
def test_a_rule_of_others_that_is_not_understood_and_not_met_is_counted(node, rule):
    at = rules(node).index("COMMIT", rules(node).index("*nat"))
    strange = with_output(
        node, "iptables-nft-save", f"{rules(node)[:at]}{rule}\n{rules(node)[at:]}"
    )

    assert failing(strange) == {}
    assert set(strange.dataplane.ignored) - set(node.dataplane.ignored) == {rule}
    (check,) = [c for c in load() if c.id == "services.frontends_programmed"]
    assert rule in [finding.found for finding in check.findings(strange) if finding.inconclusive]


def test_rules_of_docker_for_source_ports_are_recognised(node):
    assert "-A DOCKER_POSTROUTING -s 127.0.0.11/32 -p tcp -m tcp --sport " in rules(node)
    assert node.dataplane.ignored == ()


def test_a_rule_for_pings_is_recognised(node):
    """ufw and cloud images accept them before anything else."""
    ping = "-A FORWARD -p icmp -m icmp --icmp-type 8 -j ACCEPT\n"
    at = rules(node).index("-A FORWARD", rules(node).index("*filter"))
    with_ping = with_output(
        node, "iptables-nft-save", f"{rules(node)[:at]}{ping}{rules(node)[at:]}"
    )

    assert failing(with_ping) == {}
    assert with_ping.dataplane.ignored == ()


def test_a_kube_proxy_that_hangs_is_in_the_mode_of_the_rules_that_it_left(ipvs_node):
    silent = {each: HttpAnswer(error="timed out") for each in ipvs_node.seen.facts.http}
    hanging = replace(ipvs_node.seen.facts, http=silent)
    node = Node(ipvs_node.cluster, ipvs_node.object, ipvs_node.visit, hanging)
    assert node.proxy.mode == "ipvs"
    assert node.dataplane.compared > 25

    commands = hanging.commands | {
        "nft-kube-proxy": Command(["nft"], status=0, output='{"nftables": []}')
    }
    of_two = Node(
        ipvs_node.cluster, ipvs_node.object, ipvs_node.visit, replace(hanging, commands=commands)
    )
    with pytest.raises(FactMissingError, match="has rules of ipvs and nftables"):
        _ = of_two.proxy.mode


def test_a_port_of_docker_with_a_node_port_s_number_shadows_it(node):
    port = 30080
    text = rules(node).replace("*nat\n", "*nat\n:DOCKER-PORTS - [0:0]\n", 1)
    at = text.index("-A PREROUTING", text.index("*nat"))
    mapped = (
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER-PORTS\n"
        "-A DOCKER-PORTS -i docker0 -j RETURN\n"
        f"-A DOCKER-PORTS ! -i docker0 -p tcp -m tcp --dport {port} -j DNAT "
        "--to-destination 172.17.0.2:80\n"
    )
    shadowed = with_output(node, "iptables-nft-save", text[:at] + mapped + text[at:])

    assert set(failing(shadowed)) == {"services.not_shadowed"}


def in_nftables(port: int) -> str:
    """`nft -j list table ip cni_hostport` with a host port."""
    payload = {"payload": {"protocol": "tcp", "field": "dport"}}
    match = {"match": {"op": "==", "left": payload, "right": port}}
    dnat = {"dnat": {"addr": "10.244.9.9", "port": 80}}
    rule = {"family": "ip", "table": "cni_hostport", "chain": "hostports", "expr": [match, dnat]}
    return json.dumps({"nftables": [{"rule": rule}]})


@pytest.mark.parametrize(("port", "number"), [(30080, 1), (31999, 0)])
def test_a_host_port_in_nftables_with_a_node_port_s_number_is_inconclusive(node, port, number):
    (check,) = [c for c in load() if c.id == "services.not_shadowed"]
    listing = Command(["nft"], 0, in_nftables(port))
    facts = replace(node.seen.facts, commands={**node.seen.facts.commands, "nft-portmap": listing})
    mapped = Node(node.cluster, node.object, node.visit, facts)

    found = list(check.findings(mapped))
    assert [each.found for each in found] == [
        "a host port of cni_hostport, forwarded to 10.244.9.9:80"
    ] * number
    assert all("same priority" in each.inconclusive for each in found)


def test_a_table_of_nftables_that_was_not_read_is_inconclusive(node):
    (check,) = [c for c in load() if c.id == "services.not_shadowed"]
    named = with_output(node, "nft-tables", "table ip nat\ntable inet firewalld\ntable arp other\n")

    (finding,) = check.findings(named)
    assert finding.subject.part == "nftables table inet firewalld"
    assert "not read" in finding.inconclusive


def before_all(node: Node, table: str, rule: str) -> Node:
    """The node with a rule before all others of its chain."""
    text, hook = rules(node), " ".join(rule.split(" ")[:2])
    at = text.index(f"{hook} ", text.index(f"*{table}\n"))
    return with_output(node, "iptables-nft-save", f"{text[:at]}{rule}\n{text[at:]}")


def test_a_rule_that_accepts_some_clients_before_all_services_is_one_finding(node):
    rule = "-A PREROUTING -s 172.31.250.0/24 -j ACCEPT"
    found = failing(before_all(node, "nat", rule))

    (finding,) = found["services.not_shadowed"]
    assert finding.evidence == (rule,)
    assert "frontends of 20 Services" in finding.found
    assert "services.source_ranges" not in found


def test_firewalls_of_containers_may_accept_what_a_service_would_refuse(node):
    """Podman accepts in FORWARD all that its containers send, also to limited load balancers."""
    assert failing(before_all(node, "filter", "-A FORWARD -s 10.88.0.0/16 -j ACCEPT")) == {}


def test_a_rule_that_exempts_all_cluster_ips_from_nat_is_one_finding(node):
    rule = "-A PREROUTING -d 10.96.0.0/12 -j CT --notrack"
    text = rules(node)
    declared = "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
    end = "COMMIT\n# Completed on Mon Nov 23 02:36:05 2026\n"
    found = failing(with_output(node, "iptables-nft-save", f"{text}{declared}{rule}\n{end}"))

    (finding,) = found["services.refused_or_dropped"]
    assert finding.evidence == (rule,)
    assert finding.level is Level.FAIL
    assert "frontends of" in finding.found
    assert "exempt from NAT" in finding.found


def test_a_rule_that_accepts_what_the_node_sends_to_services_is_one_finding(node):
    rule = "-A OUTPUT -d 10.96.0.0/12 -j ACCEPT"
    found = failing(before_all(node, "nat", rule))

    (finding,) = found["services.frontends_programmed"]
    assert finding.evidence == (rule,)
    assert finding.level is Level.FAIL
