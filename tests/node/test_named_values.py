"""Named values of a node: how many rules it has, by tool and table."""

from pathlib import Path

import pytest

from tests.checks.small_cluster import HOST, SmallCluster
from tests.snapshot.test_blocks import in_blocks
from wirecheck.cli.demo import recorded
from wirecheck.collect.on_node import pieces
from wirecheck.node.named_values import COUNT, facts_of
from wirecheck.snapshot.blocks import BlockText
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import Command


def numbers(snapshot: Snapshot, name: str) -> dict[str, str]:
    node = next(each for each in snapshot.api().nodes if each.metadata.name == name)
    facts = facts_of(node, None, snapshot.document(name))
    return {key: value for key, value in facts.items() if key.startswith(COUNT)}


@pytest.mark.parametrize("name", ["wc-w1", "wc-w2", "wc-cp"])
def test_rules_in_blocks_are_counted_as_those_in_one_text(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "NAMES", 4)
    plain = Snapshot.open(recorded("healthy"))
    blocks = in_blocks(plain, tmp_path)
    text = plain.document(name).commands["iptables-nft-save"].output
    _, _, nat = text.partition("*nat\n")
    rules = nat.partition("COMMIT")[0].count("\n-A")

    assert isinstance(blocks.document(name).commands["iptables-nft-save"].output, BlockText)
    assert numbers(blocks, name) == numbers(plain, name)
    assert numbers(plain, name)[f"{COUNT}iptables-nft rules in nat"] == f"{rules:,}"
    assert rules > 100


NFT_RULES = '{"nftables": [{"rule": {}}, {"rule" : {}}, {"rule": {}}, {"table": {}}]}'


def test_rules_of_nftables_are_counted_by_family() -> None:
    small = SmallCluster()
    small.change_output("nft-kube-proxy", NFT_RULES)
    small.change_output("nft-kube-proxy6", NFT_RULES.replace('{"rule" : {}}, ', ""))

    assert counted(small) == {
        "nftables rules in ip kube-proxy": "3",
        "nftables rules in ip6 kube-proxy": "2",
    }


def test_a_table_without_rules_has_no_number() -> None:
    small = SmallCluster()
    small.change_output("nft-kube-proxy", '{"nftables": []}')

    assert not counted(small)


def test_the_output_of_a_command_that_failed_is_not_counted() -> None:
    small = SmallCluster()
    assert small.document
    rules = "*nat\n:A - [0:0]\n-A A -j B\nCOMMIT\n"
    for status in (0, 1):
        some = {
            name: Command([name], status=status, output=text)
            for name, text in (("nft-kube-proxy", NFT_RULES), ("iptables-nft-save", rules))
        }
        small.change_document(commands=some)
        assert len(counted(small)) == (2 if status == 0 else 0)


def counted(small: SmallCluster) -> dict[str, str]:
    node = small.node
    facts = facts_of(node.object, None, node.document)
    return {
        key.removeprefix(COUNT): value
        for key, value in facts.items()
        if key.startswith(COUNT) and not key.endswith("in filter")
    }


def test_the_mtu_of_each_device_and_of_all_pods_together() -> None:
    small = SmallCluster()
    small.change_link(HOST, "veth11", mtu=1400)
    node = small.node
    facts = facts_of(node.object, VisitRecord(VisitStatus.SEEN, proxy_mode="ipvs"), node.document)

    assert facts["MTU of ens3"] == "1500"
    assert facts["MTU of pods' interfaces"] == "1400, 1450"
    assert "MTU of veth11" not in facts
    assert facts["kube-proxy mode"] == "ipvs"
    assert facts["kubelet"] == "v1.34.4"
    assert "kernel" not in facts


def test_files_are_named_as_sysctls() -> None:
    small = SmallCluster()
    small.change_file("/proc/sys/net/ipv4/ip_local_port_range", "32768\t60999\n")
    small.change_file("/proc/sys/net/ipv4/ip_local_reserved_ports", "\n")
    node = small.node
    facts = facts_of(node.object, None, node.document)

    assert facts["net.ipv4.ip_local_port_range"] == "32768 60999"
    assert facts["net.ipv4.ip_local_reserved_ports"] == "empty"
    assert "net.netfilter.nf_conntrack_count" not in facts
    assert not [name for name in facts if "stat" in name]


def test_without_a_visit_the_api_alone_has_values() -> None:
    assert facts_of(SmallCluster().node.object, None, None) == {"kubelet": "v1.34.4"}
