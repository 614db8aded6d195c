"""Everything that reads text of nodes, pods or the API, with a text that it reads."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import dns.message
import dns.rrset
import msgspec
from msgspec.structs import replace

from tests.checks import small_cluster
from tests.dataplane.test_recorded_nodes import RecordedNode
from wirecheck.addresses import api_address, api_network
from wirecheck.api_index.readable import readable
from wirecheck.collect import visit
from wirecheck.collect.api.lenient import decoded_items
from wirecheck.collect.api.policies import calico_selector
from wirecheck.collect.document_frame import FrameError, unframed
from wirecheck.collect.on_node import (
    boot_settings,
    cni_files,
    container_runtime,
    device_managers,
    iptables_blocks,
    kube_proxy,
    kubelet,
    netlink,
    nft_blocks,
    own_servers,
    pod_files,
    processes,
    udp_entries,
)
from wirecheck.collect.on_node.visit import framed
from wirecheck.collect.transport.bounded_process import Finished
from wirecheck.collect.transport.errors import VisitError
from wirecheck.collect.transport.failures import output_of
from wirecheck.dataplane.ebpf.known_addresses import endpoints_of, ipcache_of
from wirecheck.dataplane.ebpf.layouts import ADDRESS_LAYOUTS, LAYOUTS, POLICY_LAYOUTS
from wirecheck.dataplane.ebpf.maps import cilium_maps
from wirecheck.dataplane.ebpf.node_view import cilium_node
from wirecheck.dataplane.ebpf.policy_maps import AskedPorts, PolicyMap
from wirecheck.dataplane.ebpf.reader import read_cilium
from wirecheck.inventory.file import AccessMethod
from wirecheck.parse.conntrack import parse_connections
from wirecheck.parse.corefile import cluster_zones, expansion, plugins, unknown_zones
from wirecheck.parse.corefile_rewrites import rewritten_zones, templated_zones
from wirecheck.parse.dns_answer import parse_answer
from wirecheck.parse.errors import ParseError
from wirecheck.parse.ipset import parse_ipset_save
from wirecheck.parse.iptables import parse_iptables_save, parse_rule
from wirecheck.parse.iptables_blocks import IptablesBlocks
from wirecheck.parse.iptables_doubts import IptablesDoubts
from wirecheck.parse.ipvs import parse_ip_vs
from wirecheck.parse.ipvsadm import parse_ipvsadm_save
from wirecheck.parse.kernel_log import pattern_of
from wirecheck.parse.kubelet_settings import kubelet_dns
from wirecheck.parse.masq_agent import exempt_ranges
from wirecheck.parse.nft_host_ports import parse_host_ports
from wirecheck.parse.nft_tables import parse_table
from wirecheck.parse.nftables_texts import NftTexts
from wirecheck.parse.plain_yaml import parse_yaml
from wirecheck.parse.resolv_conf import parse_resolv_conf
from wirecheck.parse.restored_conditions import restored
from wirecheck.parse.rule_counts import RuleCounts
from wirecheck.parse.sections import parse_sections
from wirecheck.parse.shell_patterns import matches
from wirecheck.parse.sync_metrics import parse_sync_metrics
from wirecheck.snapshot.api_objects import ApiObjects, OddField
from wirecheck.snapshot.blocks import TextStore, whole
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.redact_vocabulary import Vocabulary
from wirecheck.snapshot.values import has_too_many_values

RECORDED = Path(__file__).parents[1] / "recorded"
ACCESS = AccessMethod(node="n1", uri="ssh://root@192.0.2.1", address="192.0.2.1")
ANSWER = dns.message.make_response(dns.message.make_query("a.svc.cluster.local", "A"))
ANSWER.answer.append(dns.rrset.from_text("a.svc.cluster.local.", 5, "IN", "A", "10.96.0.1"))


@dataclass(frozen=True)
class Target:
    """A reader, a text that it reads, and the errors that it may raise."""

    read: Callable[[str], object]
    text: str
    errors: tuple[type[Exception], ...] = ()


def _api_objects(text: str) -> object:
    """A list of the API, each object by itself, in its canonical form."""
    items = msgspec.json.decode(text.encode(errors="replace"))
    odd: list[OddField] = []
    pods = list(decoded_items(items if isinstance(items, list) else [], PodObject, "Pod", odd))
    return readable(ApiObjects(pods=pods, undecodable=odd)).odd


def _bytes(read: Callable[[bytes], object]) -> Callable[[str], object]:
    return lambda text: read(text.encode("latin-1", "replace"))


def _recorded(name: str) -> str:
    return gzip.decompress((RECORDED / name).read_bytes()).decode()


def _lines(text: str, most: int = 60) -> str:
    """The beginning of a long text, so that a second suffices for many."""
    return "".join(f"{line}\n" for line in text.splitlines()[:most])


def _rules(text: str) -> str:
    """A small table of iptables-save with every kind of line."""
    lines = [line for line in text.splitlines() if line.startswith("-A ")]
    names = dict.fromkeys(line.split()[1] for line in lines[:40])
    declared = "".join(f":{name} - [0:0]\n" for name in names)
    head = "# Generated by iptables-save v1.8.9 (nf_tables) on Mon Nov 23 02:36:05 2026\n*nat\n"
    foot = "COMMIT\n# Completed on Mon Nov 23 02:36:05 2026\n"
    by_chain = {name: [x for x in lines[:40] if x.split()[1] == name] for name in names}
    grouped = "".join(f"{line}\n" for of in by_chain.values() for line in of)
    return f"{head}{declared}{grouped}{foot}"


def _nft(text: str) -> str:
    whole_listing = json.loads(text)["nftables"]
    kept = [each for each in whole_listing if "rule" not in each][:30]
    chains = {each["chain"]["name"] for each in kept if "chain" in each}
    kept += [each for each in whole_listing if each.get("rule", {}).get("chain") in chains][:30]
    return json.dumps({"nftables": kept})


def _in_blocks(text: str) -> object:
    store = TextStore()
    cut = iptables_blocks.blocks_of(text) or [text]
    blocks = [store.block_of(each) for each in cut]
    return IptablesBlocks().dump_of(blocks), IptablesDoubts().of(store.joined(blocks), is_nft=True)


def _ebpf_maps(text: str) -> object:
    """The same bytes as the entries of each map that is decoded."""
    data = text.encode("latin-1", "replace")
    maps = []
    for name, key, value in (*LAYOUTS, *ADDRESS_LAYOUTS):
        count = len(data) // (key + value)
        entries = base64.b64encode(data[: count * (key + value)]).decode()
        maps.append(EbpfMap(name, 1, key, value, 9, count, entries=entries))
    found: list[object] = []
    in_columns = [replace(each, entries="", columns=each.entries) for each in maps]
    for order, given in (("little", maps), ("big", in_columns)):
        document = EbpfMaps(order, given)
        for read in (ipcache_of, endpoints_of, _services_of):
            with suppress(ParseError):
                found.append(read(document))
    return found


def _services_of(document: EbpfMaps) -> object:
    maps = cilium_maps(document)
    node = cilium_node(
        NodeObject(Metadata("n1")), (), maps, replaces_kube_proxy=True, follows_topology=False
    )
    entries = read_cilium(maps, node, ()).entries.values()
    return [line for each in entries for of in each.handlings.values() for line in of.lines]


def _policy_maps(text: str) -> object:
    data = text.encode("latin-1", "replace")
    found: list[object] = []
    for name, key, value in POLICY_LAYOUTS:
        size = key + value
        entries = base64.b64encode(data[: len(data) // size * size]).decode()
        given = EbpfMap(f"{name}_00007", 11, key, value, 9, len(data) // size, entries=entries)
        for order in ("little", "big"):
            with suppress(ParseError):
                found.append(_decisions(PolicyMap.of(given, order)))
    return found


def _decisions(of: PolicyMap) -> object:
    ports = AskedPorts((("tcp", 5432), ("udp", 53)))
    peers = {2, 17193, *islice((identity for identity, _ in of.entries), 20)}
    decided = (e for each in peers for e in of.decided(each, ports, is_egress=False))
    return [(each.ports, str(each.entry), each.unknown) for each in decided], [*of.named_ports]


def _document(text: str) -> object:
    raw = text.encode(errors="replace")
    return has_too_many_values(raw), whole(visit.DECODER.decode(raw))


def _corefile(text: str) -> object:
    readers = (plugins, cluster_zones, unknown_zones, rewritten_zones, templated_zones)
    return [list(read(text)) for read in readers]  # type: ignore[operator]


def _imports(text: str) -> object:
    files = {"/etc/coredns/a": "errors\nimport a\n"}
    return expansion(text, files, "/etc/coredns/Corefile").text


def _netlink(data: bytes) -> object:
    return [netlink.attributes(payload) for *_, payload in netlink.messages(data)]


def _udp(data: bytes) -> object:
    kept = udp_entries.UdpEntries(["10.96.0.10"])
    return kept.kept(data[:50]), kept.kept(data[50:]), kept.last()


def _cni(text: str) -> object:
    content = json.loads(text)
    described = cni_files._described(content, "plugins" in content)
    return described, list(cni_files._kubeconfigs(content))


IPVS = RecordedNode("ipvs").texts
IPTABLES = _rules(_recorded("kube-proxy/1.37.2.iptables-save.txt.gz"))
NFT = _nft(_recorded("kube-proxy/1.37.2.nft.json.gz"))
CONNTRACK = (
    "udp      17 25 src=10.244.1.5 dst=10.96.0.10 sport=40000 dport=53 src=10.244.0.2 "
    "dst=10.244.1.5 sport=53 dport=40000 [ASSURED] mark=0 use=1\n"
)
COREFILE = (
    "(s) {\n    errors\n}\n.:53,\na.b {\n    import s\n    import a\n    kubernetes cluster.local "
    "in-addr.arpa {\n        pods insecure\n    }\n    rewrite name suffix .c.d .cluster.local\n"
    "    template IN A e.f {\n    }\n}\n"
)
METRICS = (
    "# HELP kubeproxy_sync_proxy_rules_last_timestamp_seconds x\n"
    'kubeproxy_sync_proxy_rules_last_timestamp_seconds{ip_family="IPv4"} 1.79e+09\n'
    'kubeproxy_sync_proxy_rules_last_queued_timestamp_seconds{ip_family="IPv4"} 1.7e+09\n'
)
PORT = {"protocol": "tcp", "field": "dport"}
HOST_PORTS = json.dumps(
    {
        "nftables": [
            {"rule": {"chain": "hostports", "expr": [
                {"match": {"left": {"payload": PORT}, "right": 80}},
                {"dnat": {"addr": "10.244.0.3", "port": 80}},
            ]}},
            {"map": {"name": "hostports", "elem": [
                [{"elem": {"val": {"concat": ["tcp", 8080]}}}, {"concat": ["10.244.0.3", 80]}]
            ]}},
        ]
    }
)  # fmt: skip
RESOLV_CONF = "search a.b b\nnameserver 10.96.0.10\noptions ndots:5\n"
SECTIONS = "[Match]\nOriginalName=*\n[Link]\nMACAddressPolicy=none\n"
KUBELET = "apiVersion: v1\nclusterDNS:\n- 10.96.0.10\nclusterDomain: cluster.local\n"
CNI = json.dumps(
    {"name": "a", "plugins": [{"type": "bridge", "ipam": {"type": "host-local", "dataDir": "/x"}}]}
)
HTTP = "HTTP/1.1 200 OK\r\n\r\nok"
PARSE, JSON = (ParseError,), (ValueError, KeyError, TypeError, AttributeError, RecursionError)

TARGETS: Mapping[str, Target] = {
    "ebpf maps": Target(
        _ebpf_maps,
        base64.b64decode(
            "CmBrgwBQAAAGAAAAAAAAAAQAAAgAAAAACmBrgwBQAQAGAAAABQAAAAAAAAgAAAAA"
            "CvQB5h+QBgAAAAAACvQBSx+QBgAAAAAAQAAAAAAAAAEK9AJYAAAAAAAAAAAAAAAA"
        ).decode("latin-1"),
    ),
    "policy maps": Target(
        _policy_maps,
        base64.b64decode(
            "KAAAAAAAAAABAAAAAAAAAAH///8AAAAAKAAAAAEAAAAAAAAAAAAAAAH1//8AAAAA"
            "QAAAAClDAAAABhU4AADAAAH///8AAAAA"
        ).decode("latin-1"),
    ),
    "conntrack": Target(lambda text: list(parse_connections(text)), CONNTRACK, PARSE),
    "corefile": Target(_corefile, COREFILE),
    "corefile imports": Target(_imports, COREFILE),
    "dns_answer": Target(_bytes(parse_answer), ANSWER.to_wire().decode("latin-1"), PARSE),
    "ipset": Target(parse_ipset_save, _lines(IPVS["ipset"]), PARSE),
    "iptables": Target(parse_iptables_save, IPTABLES, PARSE),
    "iptables rule": Target(parse_rule, IPTABLES.splitlines()[-3]),
    "iptables_blocks": Target(_in_blocks, IPTABLES),
    "iptables_doubts": Target(lambda text: IptablesDoubts().of(text, is_nft=True), IPTABLES),
    "ipvs": Target(parse_ip_vs, _lines(IPVS["ip_vs"]), PARSE),
    "ipvsadm": Target(
        parse_ipvsadm_save,
        "-A -t 10.96.0.1:443 -s rr -p 10800\n-a -t 10.96.0.1:443 -r 172.31.250.10:6443 -m -w 1\n",
        PARSE,
    ),
    "kernel_log": Target(pattern_of, "neighbour: arp_cache: neighbor table overflow!"),
    "kubelet_settings": Target(lambda text: kubelet_dns({}, text.split("\n")), KUBELET, PARSE),
    "masq_agent": Target(exempt_ranges, "nonMasqueradeCIDRs:\n- 10.0.0.0/8\n", PARSE),
    "nft_host_ports": Target(lambda text: list(parse_host_ports(text)), HOST_PORTS, PARSE),
    "nft_tables": Target(parse_table, NFT, PARSE),
    "nftables": Target(
        lambda text: [[each.expr for each in of] for of in NftTexts().table(text).rules.values()],
        NFT,
        PARSE,
    ),
    "plain_yaml": Target(parse_yaml, KUBELET, PARSE),
    "resolv_conf": Target(parse_resolv_conf, RESOLV_CONF),
    "restored_conditions": Target(lambda text: restored(text, {"nat": parse_table(NFT)}), IPTABLES),
    "rule_counts": Target(lambda text: RuleCounts().by_table(text), IPTABLES),
    "sections": Target(lambda text: parse_sections(text.split("\n")[:-1]), SECTIONS, PARSE),
    "shell_patterns": Target(lambda text: matches(text, text), "net.ipv4.conf.[a-z]*.rp_filter"),
    "sync_metrics": Target(parse_sync_metrics, METRICS, PARSE),
    "document": Target(
        _document,
        msgspec.json.encode(small_cluster.document()).decode(),
        (msgspec.MsgspecError, RecursionError),
    ),
    "API objects": Target(
        _api_objects,
        msgspec.json.encode(small_cluster.api()["pods"]).decode(),
        (msgspec.DecodeError, RecursionError),
    ),
    "API addresses": Target(
        lambda text: [(api_address(each), api_network(each)) for each in text.split("\n")],
        "10.0.0.1\n010.0.0.1\n::ffff:10.0.0.1\nfd00::1/64\n10.244.0.0/24\n",
    ),
    "policies of Calico": Target(calico_selector, "app == 'web' && has(x) && y in {'a', 'b'}"),
    "redaction": Target(
        Vocabulary(lambda _: "qwerty", lambda _: False, "veth|cali").apply, IPTABLES
    ),
    "frame": Target(_bytes(unframed), framed({"format": 1, "a": ["b"]}), (FrameError,)),
    "failed visit": Target(
        _bytes(lambda said: output_of(ACCESS, Finished(1, b"", said))),
        "sudo: a password is required\nPermission denied (publickey).\n",
        (VisitError,),
    ),
    "node: blocks of iptables": Target(iptables_blocks.blocks_of, IPTABLES),
    "node: blocks of nftables": Target(nft_blocks.blocks_of, NFT),
    "node: UDP entries": Target(_bytes(_udp), CONNTRACK),
    "node: cgroups": Target(
        processes.find_pods, "0::/kubepods/burstable/pod0107dcf0-3f54-4b2a-99e8-32c41d75e368/a\n"
    ),
    "node: resolv.conf": Target(pod_files._settings, "search a.b\nnameserver 10.96.0.10\nx\n"),
    "node: name servers": Target(
        own_servers._first_nameserver, "search a.b\nnameserver 10.96.0.10\n"
    ),
    "node: kubelet": Target(kubelet._wanted, KUBELET, JSON),
    "node: CNI configuration": Target(_cni, CNI, JSON),
    "node: metrics": Target(kube_proxy.sync_metrics, METRICS),
    "node: configz": Target(
        kube_proxy.allowed_configuration, '{"kubeproxy.config.k8s.io": {"Mode": "ipvs", "x": 1}}'
    ),
    "node: HTTP answers": Target(_bytes(kube_proxy._answer), HTTP, (ValueError,)),
    "node: netlink": Target(
        _bytes(_netlink), "\x18\0\0\0\x10\0\0\0\1\0\0\0\0\0\0\0\x08\0\3\0eth0", (OSError,)
    ),
    "node: runtime's settings": Target(
        lambda text: (
            [container_runtime.SECTION.match(each) for each in text.split("\n")]
            + [list(container_runtime.STRING.finditer(each)) for each in text.split("\n")]
        ),
        '[plugins."io.containerd.grpc.v1.cri".cni]\n  bin_dirs = ["/opt/cni/bin"] # x\n',
    ),
    "node: sysctls": Target(boot_settings.MATTERS.findall, "net.ipv4.ip_forward = 1\n"),
    "node: device settings": Target(
        lambda text: [device_managers._key(each) for each in text.splitlines()], SECTIONS
    ),
}
