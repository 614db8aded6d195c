"""A redacted snapshot gives the same verdicts, and nothing of the original is left in it."""

from __future__ import annotations

import base64
import gzip
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import dns.message
import msgspec
import pytest
from msgspec.structs import replace

from tests.checks.helped_cluster import helped_cluster
from tests.checks.small_cluster import SmallCluster
from tests.dataplane import recorded as kube_proxies
from tests.snapshots import broken, unreachable, written
from wirecheck.catalogue.registry import load
from wirecheck.cli.demo import recorded
from wirecheck.collect.on_node.commands import TABLE
from wirecheck.evaluation.evaluate import evaluate
from wirecheck.network.registry import PLUGIN_NAMES, PLUGINS
from wirecheck.parse.corefile import cluster_zones
from wirecheck.parse.kubelet_settings import kubelet_dns
from wirecheck.parse.nft_tables import parse_table
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.folder import Snapshot, SnapshotError, SnapshotWriter
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex, VisitRecord, VisitStatus, Waiver
from wirecheck.snapshot.netns import Address, DeviceProgram, Link, Listener, Namespace
from wirecheck.snapshot.node_document import Command, Host, HttpAnswer, KernelLine, NodeDocument
from wirecheck.snapshot.node_settings import Kubelet
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.redact import Dictionary, redact
from wirecheck.snapshot.redact_addresses import AddressMap
from wirecheck.snapshot.redact_names import KEPT_NAMES, NameMap
from wirecheck.snapshot.redact_text import RedactionError, TextMap

ROOT = Path(__file__).parents[2]
KEY = b"k" * 32
SNAPSHOTS = {
    "healthy": recorded("healthy"),
    "broken": recorded("broken"),
    "older": ROOT / "tests/recorded/snapshot",
}
ADDRESS = re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d)")
WORD = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
STRUCTURE = {"metrics", "new"}
"""Words of the snapshot's own that workloads of the recorded clusters are named by as well."""


@pytest.fixture(scope="module", params=sorted(SNAPSHOTS))
def pair(request, tmp_path_factory) -> tuple[Snapshot, Snapshot, Dictionary]:
    snapshot = Snapshot.open(SNAPSHOTS[request.param])
    folder = tmp_path_factory.mktemp("redacted") / "out"
    return snapshot, *_redacted(snapshot, folder)


def _redacted(snapshot: Snapshot, folder: Path) -> tuple[Snapshot, Dictionary]:
    dictionary = redact(snapshot, folder, PLUGIN_NAMES, KEY)
    return Snapshot.open(folder), dictionary


def verdicts(snapshot: Snapshot, nodes: dict[str, str] | None = None) -> dict[Any, Any]:
    """By check and node: the outcome, how bad what was found is, and how much was not judged."""
    return {
        (each.check, (nodes or {}).get(each.node, each.node)): (
            each.outcome,
            Counter(finding.level for finding in each.findings),
            len(each.undecided),
            sorted(each.unjudged.values()),
        )
        for each in evaluate(snapshot, load())
    }


def contents(folder: Path) -> str:
    """All files with their names, unpacked, and every DNS answer as text."""
    texts = []
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            raw = file.read_bytes()
            text = (gzip.decompress(raw) if file.suffix == ".gz" else raw).decode()
            texts += [str(file.relative_to(folder)), text]
            texts += [str(dns.message.from_wire(base64.b64decode(each))) for each in answers(text)]
    return "\n".join(texts)


def answers(text: str) -> set[str]:
    probes = json.loads(text).get("probes", ())
    return {t["answer"] for p in probes for t in p.get("tries", ()) if t.get("answer")}


def names_in(snapshot: Snapshot) -> set[str]:
    """Names, uids and images of all objects, and values of their labels."""
    found: set[str] = set()
    for look in range(1, len(snapshot.index.looks) + 1):
        raw = json.loads(msgspec.json.encode(snapshot.api(look)))
        for each in (each for kind in raw.values() if isinstance(kind, list) for each in kind):
            metadata, spec = each["metadata"], each.get("spec", {})
            found |= {metadata["name"], metadata.get("namespace", ""), metadata.get("uid", "")}
            found |= set(metadata.get("labels", {}).values())
            found |= {owner["name"] for owner in metadata.get("ownerReferences", ())}
            for container in spec.get("containers", ()):
                found |= {container["name"], container["image"]}
    return {
        each
        for each in found
        if len(each) > 2
        and re.search("[a-z]", each)
        and not any(
            each == kept or each.startswith(f"{kept}-")
            for kept in KEPT_NAMES | PLUGIN_NAMES.objects
        )
    }


def test_the_verdicts_are_the_same(pair):
    snapshot, redacted, dictionary = pair

    assert verdicts(redacted) == verdicts(snapshot, dictionary.nodes)
    assert len(verdicts(redacted)) > 50


def test_no_address_is_left(pair):
    snapshot, redacted, _ = pair
    before, after = contents(snapshot.path), contents(redacted.path)

    known = set(ADDRESS.findall(before))
    left = known & set(ADDRESS.findall(after))
    assert len(known) > 50
    assert left <= {"0.0.0.0", "127.0.0.0", "127.0.0.1", "127.0.0.11", "224.0.0.0"} | {
        "255.255.255.255"
    }
    for each in known - left:
        octets = each.split(".")
        assert ".".join(reversed(octets)) + ".in-addr" not in after
        assert "".join(f"{int(octet):02X}" for octet in octets) + ":" not in after


def test_no_name_uid_or_image_is_left(pair):
    snapshot, redacted, _ = pair
    after = contents(redacted.path)
    keys = {
        key
        for each in (*redacted.api().nodes, *redacted.api().pods, *redacted.api().services)
        for key in each.metadata.labels
    }
    schema = (ROOT / "wirecheck/snapshot/schema.json").read_text()
    words = set(WORD.findall(after)) - set(WORD.findall(schema)) - STRUCTURE
    words -= {word for key in keys for word in WORD.findall(key)}

    names = names_in(snapshot)
    allowed = {"amd64", "linux", "true", "endpointslice-controller.k8s.io"}
    assert len(names) > 80
    assert names & words - allowed == set()
    keyed = " ".join(keys)
    long = (each for each in names - allowed if len(each) > 10 and each not in keyed)
    assert [each for each in long if each in after] == []


def test_no_mac_address_or_hash_of_a_name_is_left(pair):
    snapshot, redacted, _ = pair
    before, after = contents(snapshot.path), contents(redacted.path)

    for pattern in (
        r"\b(?:[0-9a-f]{2}:){5}[0-9a-f]{2}\b",
        r"KUBE-[A-Z]{2,3}-([A-Z2-7]{16})\b",
        r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b",
        r"\bveth[0-9a-f]{8}\b",
        r"\b[0-9a-f]{32,64}\b",
    ):
        known = set(re.findall(pattern, before)) - {"00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"}
        known = {each for each in known if not each.startswith(("01:00:5e", "33:33"))}
        assert known, pattern
        assert known & set(re.findall(pattern, after)) == set(), pattern


def test_what_checks_go_by_stays(pair):
    _, redacted, _ = pair
    api = redacted.api()

    spaces = {each.metadata.namespace for each in api.pods}
    assert {"kube-system", "kube-flannel"} <= spaces
    assert ("kube-system", "kube-dns") in {
        (each.metadata.namespace, each.metadata.name) for each in api.services
    }
    assert redacted.index.dns_domain == "cluster.local"
    assert any(each.endswith(".svc.cluster.local A") for each in redacted.index.queries.values())


def test_every_cni_plugin_is_still_known():
    names = NameMap(KEY, PLUGIN_NAMES)

    for each in (name for plugin in PLUGINS for name in plugin.recognised_by.daemonsets):
        assert names.name(each) == each


def test_the_same_thing_has_the_same_replacement_in_objects_and_rules(pair):
    _, redacted, dictionary = pair
    rules = contents(redacted.path)

    web = f"{dictionary.names['shop']}/{dictionary.names['web']}"
    assert f"{web}:http cluster IP" in rules
    pods = {each.metadata.name for each in redacted.api().pods}
    assert any(each.startswith(f"{dictionary.names['web']}-") for each in pods)


def test_each_redaction_has_a_key_of_its_own(tmp_path):
    snapshot = Snapshot.open(SNAPSHOTS["healthy"])

    assert (
        redact(snapshot, tmp_path / "a", PLUGIN_NAMES).names
        != redact(snapshot, tmp_path / "b", PLUGIN_NAMES).names
    )


def of_kube_proxy(folder: Path, api: ApiObjects, document: NodeDocument) -> Snapshot:
    """A snapshot of one node, of which the rules alone are known."""
    (node,) = api.nodes
    writer = SnapshotWriter(folder, SnapshotIndex(1, "0", 1000.0))
    writer.write_api(1, api)
    writer.write_document(1, node.metadata.name, msgspec.json.encode(document))
    writer.finish_round(
        RoundRecord(1000.0, 1002.0, {node.metadata.name: VisitRecord(VisitStatus.SEEN)})
    )
    return Snapshot.open(folder)


def rules_of(
    node: NodeObject, mode: str, version: str, configz: object, outputs: dict[str, str], **more: Any
) -> NodeDocument:
    listed = [each.address for each in node.status.addresses if each.type.endswith("IP")]
    unasked = {each: Command([each], problem="not asked: no reason") for each in TABLE}
    build = f'kubernetes_build_info{{git_version="v{version.removeprefix("v")}"}} 1'
    return NodeDocument(
        format=1,
        program="0",
        started=1000.0,
        finished=1001.0,
        host=Host(node.metadata.name),
        namespaces=[
            Namespace(
                1,
                links=[Link(2, "ens3"), Link(3, "kube-ipvs0", kind="dummy")],
                addresses=[
                    Address(2 if each in listed else 3, each, 128 if ":" in each else 32)
                    for each in more.pop("addresses", listed)
                ],
            )
        ],
        commands=unasked
        | {name: Command([name], status=0, output=text) for name, text in outputs.items()},
        http={
            "proxyMode": HttpAnswer(200, mode),
            "configz": HttpAnswer(200, json.dumps(configz)),
            "metrics": HttpAnswer(200, build),
            "healthz": HttpAnswer(200, "{}"),
        },
        **more,
    )


def without_endpoints(api: ApiObjects) -> ApiObjects:
    """One Service lost all of them, and the rules do not know: something to be found."""
    service_of = "kubernetes.io/service-name"
    addressed = {
        each.metadata.name
        for each in api.services
        if each.spec.cluster_ip != "None" and each.spec.internal_traffic_policy != "Local"
    }
    ready = {
        each.metadata.labels.get(service_of)
        for each in api.endpoint_slices
        if sum(e.conditions.ready is not False for e in each.endpoints or ()) > 1
    }
    name = min(addressed & ready)
    slices = [
        msgspec.structs.replace(each, endpoints=[])
        if each.metadata.labels.get(service_of) == name
        else each
        for each in api.endpoint_slices
    ]
    return msgspec.structs.replace(api, endpoint_slices=slices)


def nft_or_iptables(version: str, mode: str) -> tuple[ApiObjects, NodeDocument]:
    node = kube_proxies.node()
    api = msgspec.structs.replace(kube_proxies.api(), nodes=[node])
    suffix, command = {
        "nftables": ("nft.json", "nft-kube-proxy"),
        "iptables": ("iptables-save.txt", "iptables-nft-save"),
    }[mode]
    outputs = {command: kube_proxies.text(f"{version}.{suffix}")}
    configz = {"kubeproxy.config.k8s.io": {"ClusterCIDR": "10.244.0.0/16", "Mode": mode}}
    return api, rules_of(node, mode, version, configz, outputs)


def ipvs() -> tuple[ApiObjects, NodeDocument]:
    texts = json.loads(gzip.decompress((ROOT / "tests/recorded/nodes/ipvs.json.gz").read_bytes()))
    api = msgspec.convert(texts["api"], ApiObjects)
    outputs = {
        "iptables-nft-save": texts["iptables"],
        "ip6tables-nft-save": texts["ip6tables"],
        "ipset-save": texts["ipset"],
    }
    document = rules_of(
        api.nodes[0],
        "ipvs",
        texts["version"],
        texts["configz"],
        outputs,
        addresses=texts["addresses"],
        files={"/proc/net/ip_vs": texts["ip_vs"]},
    )
    return api, document


MODES = {
    "ipvs": ipvs,
    **{
        f"{mode} {version}": lambda mode=mode, version=version: nft_or_iptables(version, mode)
        for mode in ("iptables", "nftables")
        for version in ("1.31.0", "1.37.2")
    },
}


@pytest.mark.parametrize("breaks", [False, True], ids=["as asked", "stale"])
@pytest.mark.parametrize("mode", MODES)
def test_the_rules_of_every_mode_keep_their_verdicts(tmp_path, mode, breaks):
    api, document = MODES[mode]()
    snapshot = of_kube_proxy(tmp_path / "seen", without_endpoints(api) if breaks else api, document)
    redacted, dictionary = _redacted(snapshot, tmp_path / "redacted")

    before, after = verdicts(snapshot, dictionary.nodes), verdicts(redacted)
    failed = {check for (check, _), (outcome, *_) in after.items() if outcome == "fail"}
    assert before == after
    assert any(each.startswith("services.") for each in failed) is breaks
    left = set(ADDRESS.findall(contents(snapshot.path))) & set(
        ADDRESS.findall(contents(redacted.path))
    )
    assert {each for each in left if not each.startswith(("0.", "127.", "224.", "255."))} == set()
    assert not re.search(r"\bweb\b", contents(redacted.path))


def changed(tmp_path: Path, small: SmallCluster, **more: Any) -> tuple[Snapshot, Dictionary]:
    snapshot = Snapshot.open(written(tmp_path / "seen", small, **more))
    return _redacted(snapshot, tmp_path / "redacted")


def test_sentences_lose_names_and_addresses(tmp_path):
    small = unreachable()
    reason = "n1 (192.0.2.1) refuses the connection of shop/web by ssh://alice@192.0.2.1."
    small.visit = VisitRecord(
        VisitStatus.UNREACHABLE, via="ssh://alice@192.0.2.1:22", reason=reason
    )

    redacted, dictionary = changed(tmp_path, small)

    (visit,) = redacted.index.looks[0].visits.values()
    n1, address = dictionary.nodes["n1"], dictionary.addresses["192.0.2.1"]
    shop, web = dictionary.names["shop"], dictionary.names["web"]
    assert (
        visit.reason
        == f"{n1} ({address}) refuses the connection of {shop}/{web} by ssh://{address}."
    )
    assert visit.via == f"ssh://{address}:22"


def test_helper_pods_are_still_known(tmp_path):
    small = helped_cluster()
    small.change_contacts("helper", made=0, tries=2, error="timeout")
    assert small.helper_pods
    small.helper_pods = replace(
        small.helper_pods, nodes={"n1": "", "n2": "", "edge-n3": "On edge-n3."}
    )
    snapshot = Snapshot.open(written(tmp_path / "in", small))
    redacted, dictionary = _redacted(snapshot, tmp_path / "out")

    found = verdicts(redacted)
    assert found == verdicts(snapshot, dictionary.nodes)
    assert "edge" not in contents(redacted.path)
    across = {
        str(outcome)
        for (check, _), (outcome, *_) in found.items()
        if check == "reachability.large_payloads_between_nodes"
    }
    assert across == {"fail", "error"}  # n2 was not visited


def test_lines_of_the_kernel_are_still_understood(tmp_path):
    small = SmallCluster()
    small.api["services"][0]["metadata"]["name"] = "table"
    text = "nf_conntrack: nf_conntrack: table full, dropping packet from 10.244.0.3 on n1"
    small.change_document(kernel_log=[KernelLine(990.0, "table full", text)])

    redacted, dictionary = changed(tmp_path, small)

    (line,) = redacted.document(dictionary.nodes["n1"]).kernel_log
    assert line.text.startswith("nf_conntrack: nf_conntrack: table full, dropping packet from ")
    assert "10.244.0.3" not in line.text
    assert not line.text.endswith("n1")


def test_sockets_and_programs_keep_what_checks_go_by(tmp_path):
    small = SmallCluster()
    sockets = [Listener("127.0.0.1", 9000), Listener("::", 9090, False), Listener("10.244.0.3", 80)]
    program = DeviceProgram(2, "tc ingress", "bpf", "cil_from_container", 7)
    small.change_netns(102, listeners=sockets, filters=["ip nat"], programs=[program])

    redacted, dictionary = changed(tmp_path, small)

    document = redacted.document(dictionary.nodes["n1"])
    (netns,) = [each for each in document.namespaces if each.inode == 102]
    loopback, all_addresses, own = netns.listeners
    assert [loopback, all_addresses] == sockets[:2]
    assert own.address == netns.addresses[0].address != "10.244.0.3"
    assert (netns.filters, netns.programs) == (["ip nat"], [program])


def test_a_search_path_is_mapped_as_the_names_in_it_are(tmp_path):
    redacted, dictionary = changed(tmp_path, broken())

    texts = [each.resolv_conf.text for each in redacted.document(dictionary.nodes["n1"]).pods]
    assert any(
        text.startswith(f"search {dictionary.names['shop']}.svc.cluster.local svc.cluster.local")
        for text in texts
    )


@pytest.mark.parametrize("domain", ["production", "prod.example"])
@pytest.mark.parametrize("lines", [True, False])
def test_a_domain_is_mapped_alike_wherever_it_is_named(tmp_path, domain, lines):
    small = SmallCluster()
    text = f".:53 {{\n    kubernetes {domain} 10.0.0.0/8 in-addr.arpa {{\n    }}\n}}\n"
    meta = {"name": "rke2-coredns", "namespace": "kube-system"}
    small.api["configMaps"] = [{"metadata": meta, "data": {"Corefile": text}}]
    settings = [f"clusterDomain: {domain}", "clusterDNS: [10.96.0.10]"]
    flags = {"cluster-domain": domain, "cluster-dns": "10.96.0.10"}
    kubelet = Kubelet({}, settings) if lines else Kubelet(flags)
    small.change_document(kubelet=kubelet)

    redacted, dictionary = changed(tmp_path, small)

    (config_map,) = redacted.api().config_maps
    (zone,) = cluster_zones(config_map.data["Corefile"])
    mapped = redacted.document(dictionary.nodes["n1"]).kubelet
    assert zone != domain
    assert kubelet_dns(mapped.flags, mapped.lines).domain == zone


@pytest.mark.parametrize("where", ["shop/web", "Pod shop/web", "shop/*", "n1", "*"])
def test_a_waiver_still_holds_and_names_nobody(tmp_path, where):
    waiver = Waiver("pods.*", where, "Zoltan knows", "zoltan", "2030-01-01")

    redacted, _ = changed(tmp_path, broken(), waivers=[waiver])

    assert redacted.index.waivers[0].owner == "redacted"
    assert "oltan" not in contents(redacted.path)
    outcomes = [
        value[0] for key, value in verdicts(redacted).items() if "ip_on_interface" in key[0]
    ]
    assert "waived" in outcomes
    assert "fail" not in outcomes


def test_a_pattern_about_a_part_of_a_name_is_refused(tmp_path):
    waiver = Waiver("pods.*", "shop/we*", "known", "ops", "2030-01-01")

    with pytest.raises(RedactionError, match="part of a name"):
        changed(tmp_path, broken(), waivers=[waiver])


def test_a_range_that_is_no_prefix_is_refused(tmp_path):
    small = SmallCluster()
    rule = "*filter\n-A INPUT -m iprange --src-range 10.0.0.5-10.0.0.9 -j DROP\nCOMMIT\n"
    small.change_document(commands={"iptables-nft-save": Command(["x"], status=0, output=rule)})

    with pytest.raises(RedactionError, match=r"10\.0\.0\.5-10\.0\.0\.9"):
        changed(tmp_path, small)


def test_images_keep_their_version_and_nothing_else(tmp_path):
    small = SmallCluster()
    image = "registry.acme.example:5000/team/kube-proxy:v1.34.4-acme.1@sha256:" + "0a" * 32
    small.api["pods"][1]["spec"]["containers"][0]["image"] = image

    redacted, _ = changed(tmp_path, small)

    mapped = redacted.api().pods[1].spec.containers[0].image
    assert re.fullmatch(
        r"[a-z]{6}\.[a-z]{6}\.[a-z]{6}:5000/[a-z]{6}/kube-proxy:v1\.34\.4-[a-z]{6}\.1"
        r"@sha256:[0-9a-f]{64}",
        mapped,
    )
    assert "0a0a" not in mapped


def test_an_answer_that_is_none_is_replaced_by_one_that_is_none(tmp_path):
    small = broken()
    probes = small.document.probes
    garbled = base64.b64encode(b"secret of acme").decode()
    tries = [msgspec.structs.replace(probes[0].tries[0], answer=garbled)]
    small.change_document(probes=[msgspec.structs.replace(probes[0], tries=tries), *probes[1:]])

    redacted, dictionary = changed(tmp_path, small)

    (tried,) = redacted.document(dictionary.nodes["n1"]).probes[0].tries
    assert tried.answer not in ("", garbled)


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path):
    (tmp_path / "kept").write_text("")

    with pytest.raises(SnapshotError, match="not empty"):
        redact(Snapshot.open(SNAPSHOTS["healthy"]), tmp_path, PLUGIN_NAMES)


@pytest.mark.parametrize("prefix", [*PLUGIN_NAMES.devices, "vnet"])
def test_the_hash_in_the_name_of_an_interface_is_replaced(prefix):
    texts = TextMap(AddressMap(KEY, []), NameMap(KEY, PLUGIN_NAMES), PLUGIN_NAMES.devices)

    found = texts.opaque(f"default dev {prefix}0d77abc123 scope link")

    assert found.startswith(f"default dev {prefix}")
    assert "0d77abc123" not in found


@pytest.mark.parametrize(
    ("elements", "is_kept"),
    [
        (["10.244.0.9", {"prefix": {"addr": "10.244.8.0", "len": 24}}], True),
        ([{"range": ["10.0.0.5", "10.0.0.9"]}], False),
    ],
)
def test_tables_of_other_programs_keep_their_form(tmp_path, elements, is_kept):
    """One with a range of addresses is left out instead of the snapshot."""
    small = SmallCluster()
    jump = {"rule": {"chain": "acme-in", "expr": [{"jump": {"target": "acme-out"}}]}}
    test = {"match": {"op": "==", "left": {"meta": {"key": "iifname"}}, "right": "@acme-set"}}
    log = {"log": {"prefix": "shop dropped"}}
    rule = {"rule": {"chain": "acme-out", "expr": [test, log, {"drop": None}], "comment": "web"}}
    named = {"set": {"name": "acme-set", "elem": elements}}
    listing = {"nftables": [named, {"chain": {"name": "acme-in", "hook": "input"}}, jump, rule]}
    argv = ["nft", "-j", "list", "table", "inet", "acme-fw"]
    tables = "table inet acme-fw\ntable inet firewalld\n"
    small.change_document(
        commands={
            **small.document.commands,
            "nft-tables": Command(["netlink"], 0, tables),
            "nft-table inet acme-fw": Command(argv, 0, json.dumps(listing)),
        }
    )

    redacted, dictionary = changed(tmp_path, small)

    commands = redacted.document(dictionary.nodes["n1"]).commands
    first, second = commands["nft-tables"].output.splitlines()
    assert second == "table inet firewalld"
    found = commands[first.replace("table", "nft-table", 1)]
    assert first.endswith(" ".join(found.argv[-2:]))
    assert not re.search(r"acme|shop|10\.244\.", first + found.output)
    assert bool(found.output) is is_kept
    assert (found.status == 0) is is_kept
    assert bool(found.problem) is not is_kept
    if is_kept:
        table = parse_table(found.output)
        (chain,) = table.chains
        (expression,) = table.rules[chain].rules[0].expr
        target = table.rules[expression["jump"]["target"]]
        assert target.sets == tuple(table.sets)


def test_names_of_native_sets_are_replaced_and_iptables_own_chains_are_kept(tmp_path):
    small = SmallCluster()
    lines = "chain ip nat PREROUTING\nchain ip nat acme-early\nset ip filter acme-banned\n"
    small.change_output("nft-native", lines)

    redacted, dictionary = changed(tmp_path, small)

    document = redacted.document(dictionary.nodes["n1"])
    first, *others = document.commands["nft-native"].output.splitlines()
    assert first == "chain ip nat PREROUTING"
    assert [each.rpartition(" ")[0] for each in others] == ["chain ip nat", "set ip filter"]
    assert "acme" not in " ".join(others)
