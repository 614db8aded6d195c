"""No word of a user is left in a redacted snapshot, whatever field it is in."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from tests.checks.helped_cluster import helped_cluster
from tests.snapshot.test_redact import KEY, contents, verdicts
from tests.snapshots import written
from wirecheck.cli.main import main
from wirecheck.network.registry import PLUGIN_NAMES
from wirecheck.snapshot.api_objects import ApiObjects, OddField
from wirecheck.snapshot.folder import Snapshot, SnapshotWriter
from wirecheck.snapshot.index import (
    ClusterIdentity,
    HelperPodsRecord,
    RoundRecord,
    SnapshotIndex,
    VisitRecord,
    VisitStatus,
)
from wirecheck.snapshot.node_document import Command, HttpAnswer, KernelLine, NodeDocument
from wirecheck.snapshot.node_settings import DeviceManagers, Kubelet, SettingsFile, SysctlFile
from wirecheck.snapshot.redact import redact
from wirecheck.snapshot.redact_names import NameMap, PluginNames
from wirecheck.snapshot.redact_table import UNTOUCHED
from wirecheck.snapshot.redact_vocabulary import Vocabulary, vocabulary

RULES = """*filter
:INPUT ACCEPT [0:0]
:zanzibar-in - [0:0]
-A INPUT -m comment --comment "ticket of quillon" -j zanzibar-in
-A INPUT -m set --match-set brixham src -j LOG --log-prefix "wobbegong: "
-A zanzibar-in -i bond-tramore -m geoip --source-country porthcawl -j DROP
COMMIT
"""
IPSET = (
    'create brixham hash:ip family inet comment\nadd brixham 192.0.2.7 comment "by mevagissey"\n'
)
NFT = '{"nftables": [{"chain": {"family": "inet", "table": "lyonesse", "name": "cadgwith", "comment": "of trevose"}}]}'  # noqa: E501
CONFIG = {"kind": "KubeProxyConfiguration", "note": "carbis", "mode": "iptables"}


class Planter:
    """Appends a word of its own to every text."""

    def __init__(self) -> None:
        self.words: dict[str, str] = {}
        """The words, with the fields that they are in."""
        self._fresh = ("zq" + "".join(each) for each in itertools.product("abcdefgh", repeat=5))

    def word(self, field: str) -> str:
        fresh = next(self._fresh)
        self.words[fresh] = field
        return fresh

    def struct(self, value: Any) -> Any:
        kind = type(value).__name__
        return msgspec.structs.replace(
            value,
            **{
                name: self.value(getattr(value, name), f"{kind}.{name}")
                for name in value.__struct_fields__
                if f"{kind}.{name}" not in UNTOUCHED
            },
        )

    def value(self, value: Any, field: str) -> Any:
        match value:
            case VisitStatus():
                return value
            case str():
                return f"{value} {self.word(field)}"
            case Struct():
                return self.struct(value)
            case list():
                return [self.value(each, field) for each in value]
            case dict():
                return {
                    f"{key}{'' if isinstance(each, Struct) else ' ' + self.word(field + ' key')}": (
                        self.value(each, field)
                    )
                    for key, each in value.items()
                }
        return value


def everything() -> tuple[ApiObjects, NodeDocument, SnapshotIndex]:
    small = helped_cluster()
    small.api["pods"][1]["metadata"]["annotations"] = {"sidecar.istio.io/status": "x"}
    small.api["nodes"][0]["status"]["conditions"][0]["reason"] = "Reason"
    api = msgspec.convert(small.api, ApiObjects)
    api = msgspec.structs.replace(api, undecodable=[OddField("Pod", "web", "spec", "text", "shop")])
    assert small.document
    document = msgspec.structs.replace(
        small.document,
        commands={
            "iptables-nft-save": Command(["iptables-save"], 0, RULES, stderr="error"),
            "ipset-save": Command(["ipset", "save"], 0, IPSET),
            "nft-kube-proxy": Command(["nft", "-j"], 0, NFT),
            "nft-native": Command(["nft"], 0, "chain ip nat own-chain\n"),
            "conntrack-udp": Command(["conntrack"], 0, "udp 17 src=192.0.2.7"),
        },
        http={"configz": HttpAnswer(200, str(CONFIG)), "metrics": HttpAnswer(500, "", "error")},
        kernel_log=[KernelLine(1.0, "table full", "nf_conntrack: table full on zennor")],
        kubelet=Kubelet({"cluster-domain": "cluster.local"}, ["clusterDomain: cluster.local"], "x"),
        boot_settings=[SysctlFile("/etc/sysctl.d/90-trevone.conf", ["# note", "net.ipv4.x = 1"])],
        device_managers=DeviceManagers(
            ["systemd-networkd"],
            [SettingsFile("10-x.link", ["[Match]", "Host=portreath", "Name=gweek0"])],
        ),
        problems=["The stage failed on this."],
    )
    index = SnapshotIndex(
        1,
        "0",
        1_800_000_000.0,
        ClusterIdentity("small", "uid-1", "v1.34.4"),
        notes=["A note of the operator."],
        queries={"kubernetes": "kubernetes.default.svc.cluster.local A"},
        helper_pods=HelperPodsRecord("run-1", {"n1": "", "n2": "Some reason."}, "helpers"),
        looks=[
            RoundRecord(
                1.8e9,
                1.8e9 + 2,
                {
                    "n1": VisitRecord(VisitStatus.SEEN, "ssh://ursula@jump.perran:22"),
                    "n2": VisitRecord(VisitStatus.UNREACHABLE, "docker://x", "No route to it."),
                },
                problems=["Cannot read this."],
                unplanned=["Cannot plan that."],
            )
        ],
    )
    return api, document, index


def written_as(
    folder: Path, api: ApiObjects, document: NodeDocument, index: SnapshotIndex
) -> Snapshot:
    writer = SnapshotWriter(folder, msgspec.structs.replace(index, looks=[]))
    writer.write_api(1, api)
    (record,) = index.looks
    name = next(name for name, visit in record.visits.items() if visit.status.reached)
    writer.write_document(1, name, msgspec.json.encode(document))
    writer.finish_round(record)
    return Snapshot.open(folder)


def test_a_word_in_any_field_is_replaced(tmp_path: Path) -> None:
    planter = Planter()
    api, document, index = everything()
    redact(
        written_as(
            tmp_path / "in", planter.struct(api), planter.struct(document), planter.struct(index)
        ),
        tmp_path / "out",
        PLUGIN_NAMES,
        KEY,
    )

    left = contents(tmp_path / "out").lower()
    assert {field for word, field in planter.words.items() if word in left} == set()
    assert len(set(planter.words.values())) > 120


PLANTED = (
    *("zanzibar", "quillon", "brixham", "wobbegong", "tramore", "porthcawl", "mevagissey"),
    *("lyonesse", "cadgwith", "trevose", "carbis", "zennor", "trevone", "portreath", "gweek"),
    *("ursula", "perran"),
)


@pytest.mark.parametrize("word", PLANTED)
def test_words_in_the_output_of_tools_are_replaced(
    word: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert word not in _of_everything(tmp_path_factory)


_REDACTED: list[str] = []


def _of_everything(factory: pytest.TempPathFactory) -> str:
    if not _REDACTED:
        folder = factory.mktemp("words")
        redact(written_as(folder / "in", *everything()), folder / "out", PLUGIN_NAMES, KEY)
        _REDACTED.append(contents(folder / "out").lower())
    return _REDACTED[0]


def words(*forced: str) -> Vocabulary:
    names = NameMap(KEY, PluginNames())
    return Vocabulary(names.word, names.is_replacement, "veth|cali", forced)


@pytest.mark.parametrize(
    "text",
    [
        "-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "0x4000/0x4000",
        "KUBE-SVC-ERIFXISQEP7F7OF4 fe80::face:dead:beef/64 0a:de:ad:be:ef:00",
        "veth0d77abc1 cali0d77abc1 eth0 ens3 a1b2c3d4",
        "v1.34.4+k3s1 containerd://1.7.2 2026-11-23T02:36:05Z 1.7e+09",
        "11ab22cd-abcd-abcd-abcd-abcdabcdabcd",
    ],
)
def test_what_is_not_a_word_of_somebody_stays(text: str) -> None:
    assert words().apply(text) == text


@pytest.mark.parametrize("text", ["Payroll", "zürich", "банк", "team7payroll", "payroll_eu-web2x"])
def test_words_of_any_alphabet_are_replaced(text: str) -> None:
    found = words().apply(text)
    assert found != text
    assert not set(found.lower().replace("-", "_").split("_")) & {"payroll", "zürich", "банк"}


def test_a_word_has_one_replacement_and_its_case() -> None:
    found = words().apply("payroll Payroll PAYROLL payroll").split()

    assert found[0] == found[3]
    assert [each.lower() for each in found] == [found[0]] * 4
    assert len(set(found)) == 3


def test_a_known_word_is_replaced_if_somebody_says_so() -> None:
    assert words().apply("production") == "production"
    assert "production" not in words("Production").apply("production Production the-production2")


def test_the_option_is_passed_on(tmp_path: Path) -> None:
    small = helped_cluster()
    small.visit = VisitRecord(VisitStatus.SEEN, reason="The production team knows.")
    snapshot = written(tmp_path / "in", small)
    with pytest.raises(SystemExit) as ended:
        main(
            ["snapshot", "redact", str(snapshot), str(tmp_path / "out"), "--replace", "production"]
        )
    assert not ended.value.code
    assert "production" not in contents(tmp_path / "out")


def test_odd_addresses_stay_odd_and_are_replaced(tmp_path: Path) -> None:
    small = helped_cluster()
    ports = [
        {"containerPort": 80, "hostPort": 80, "hostIP": each} for each in ("bude", "010.1.2.3")
    ]
    small.api["pods"][1]["spec"]["containers"][0]["ports"] = ports
    small.api["nodes"][1]["spec"]["podCIDRs"] = ["010.244.1.0/24"]
    snapshot = Snapshot.open(written(tmp_path / "in", small))

    dictionary = redact(snapshot, tmp_path / "out", PLUGIN_NAMES, KEY)

    redacted = Snapshot.open(tmp_path / "out")
    assert verdicts(redacted) == verdicts(snapshot, dictionary.nodes)
    assert not {"bude", "010.1.2.3", "010.244.1.0"} & set(contents(tmp_path / "out").split('"'))


def test_the_vocabulary_is_of_the_program_and_small() -> None:
    found = vocabulary()
    assert {"masquerade", "conntrack", "vtepmac", "podcidrs", "clusterdomain"} <= found
    assert not {"acme", "payroll", "alice", "zanzibar"} & found
    assert len(found) < 8000
