"""Calico's sets of addresses, compared with its pools and with the nodes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.calico import (
    Document,
    add_tables,
    changed,
    found,
    objects_beside,
    with_objects,
    with_tunnels,
)
from tests.changed_recordings import items
from wirecheck.addresses import network
from wirecheck.catalogue.findings import Level, NotApplicable, Outcome
from wirecheck.network.registry import PLUGIN_NAMES
from wirecheck.node.calico_sets import _covers, _ranges
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.redact import redact

IPT, NFT = "healthy-iptables", "healthy-nftables"
CHECK = "firewall.address_sets"
SETS, TABLE = "ipset-save", "nft-table ip calico"
W1 = "172.30.0.11"
POOL = "10.244.0.0/16"
Make = Callable[..., Path]


@pytest.fixture
def with_sets(tmp_path: Path) -> Make:
    """A copy of a recording with its sets and pools, after a change on tb-w2."""

    def make(
        change: Callable[[Document], None] = lambda _: None,
        recording: str = IPT,
        **pool: Any,
    ) -> Path:
        def on_node(name: str, document: Document) -> None:
            add_tables(recording, name, document)
            if name == "tb-w2":
                change(document)

        objects = objects_beside(recording)
        objects["ipPools"][0]["spec"].update(pool)
        return with_tunnels(with_objects(changed(recording, tmp_path, on_node), objects))

    return make


def without_member(name: str, member: str) -> Callable[[Document], None]:
    """Remove a member of an ipset."""

    def change(document: Document) -> None:
        line = f"add {name} {member}\n"
        assert line in document["commands"][SETS]["output"]
        document["commands"][SETS]["output"] = document["commands"][SETS]["output"].replace(
            line, ""
        )

    return change


def without_element(name: str) -> Callable[[Document], None]:
    """Remove the members of a set in the nftables table."""

    def change(document: Document) -> None:
        table = json.loads(document["commands"][TABLE]["output"])
        (one,) = [e["set"] for e in table["nftables"] if e.get("set", {}).get("name") == name]
        assert one.pop("elem")
        document["commands"][TABLE]["output"] = json.dumps(table)

    return change


def reasons(folder: Path) -> set[str]:
    """Why sets of any node are inconclusive."""
    return {reason for each in items(folder, CHECK) for reason in each.unjudged}


@pytest.mark.parametrize("recording", [IPT, NFT])
def test_the_sets_of_a_healthy_cluster_are_complete(with_sets: Make, recording: str) -> None:
    results = items(with_sets(recording=recording), CHECK)

    assert [each.outcome for each in results] == [Outcome.PASS] * 3
    assert not any(each.unjudged for each in results)


@pytest.mark.parametrize(
    ("change", "recording"),
    [(without_member, IPT), (lambda name, _: without_element(name), NFT)],
    ids=[IPT, NFT],
)
@pytest.mark.parametrize(
    "fault",
    [
        ("cali40masq-ipam-pools", POOL, "leave the cluster with addresses of pods"),
        ("cali40network-ip-pools", POOL, "are masqueraded, so policies see the node"),
        ("cali40all-vxlan-net", W1, "VXLAN packets from tb-w1 are dropped"),
    ],
)
def test_a_missing_member_fails_on_its_node(
    with_sets: Make, change: Any, recording: str, fault: tuple[str, str, str]
) -> None:
    name, member, lost = fault
    findings = found(with_sets(change(name, member), recording), CHECK)

    node, where, _ = findings[0]
    assert (node, where) == ("tb-w2", f"Node tb-w2 set {name}")
    assert any(lost in text for _, _, text in findings)
    assert {each for each, *_ in findings} == {"tb-w2"}


def test_the_finding_names_the_pool_and_the_commands(with_sets: Make) -> None:
    folder = with_sets(without_member("cali40masq-ipam-pools", POOL))

    (finding,) = [each for item in items(folder, CHECK) for each in item.findings]
    assert finding.expected == f"range {POOL} of IPPool default-ipv4-ippool (natOutgoing)"
    assert "`ipset list cali40masq-ipam-pools`" in finding.remedy
    assert "delete pod calico-node-" in finding.remedy


def test_a_pool_without_nat_outgoing_must_not_be_masqueraded(with_sets: Make) -> None:
    items_of_check = items(with_sets(natOutgoing=False), CHECK)

    levels = {finding.level for each in items_of_check for finding in each.findings}
    assert levels == {Level.WARN}
    texts = [f.expected for each in items_of_check for f in each.findings]
    wanted = f"without range {POOL} of IPPool default-ipv4-ippool, which has no natOutgoing"
    assert texts == [wanted] * 3


@pytest.mark.parametrize(
    ("uses", "is_needed"), [(["LoadBalancer"], False), (["Workload"], True), ([], True)]
)
def test_pools_of_load_balancers_are_in_no_set(
    with_sets: Make, uses: list[str], is_needed: bool
) -> None:
    folder = with_sets(cidr="192.0.2.0/24", allowedUses=uses)

    assert bool(found(folder, CHECK)) is is_needed


def test_pools_of_the_other_family_belong_to_other_sets(with_sets: Make) -> None:
    assert found(with_sets(cidr="fd00::/48"), CHECK) == []


def test_the_name_of_older_versions_is_known(with_sets: Make) -> None:
    def change(document: Document) -> None:
        without_member("cali40network-ip-pools", POOL)(document)
        for command in (SETS, "iptables-nft-save"):
            text = document["commands"][command]["output"]
            text = text.replace("cali40network-ip-pools", "cali40all-ipam-pools")
            document["commands"][command]["output"] = text

    ((_, where, _),) = found(with_sets(change), CHECK)
    assert where == "Node tb-w2 set cali40all-ipam-pools"


def test_hosts_of_an_ipip_overlay_are_known_by_their_tunnels(with_sets: Make) -> None:
    """As felix's rules for IPIP are written; no cluster with IPIP was recorded."""

    def change(document: Document) -> None:
        record = document["commands"]["iptables-nft-save"]
        record["output"] = record["output"].replace("cali40all-vxlan-net", "cali40all-hosts-net")
        sets = document["commands"][SETS]
        sets["output"] = sets["output"].replace("cali40all-vxlan-net", "cali40all-hosts-net")
        without_member("cali40all-hosts-net", W1)(document)

    folder = with_sets(change)
    assert found(folder, CHECK) == []  # no node announces an IPIP tunnel
    nodes = msgspec.to_builtins(Snapshot.open(folder).api(1).nodes)
    for each in nodes:
        each["metadata"]["annotations"]["projectcalico.org/IPv4IPIPTunnelAddr"] = "10.244.0.1"
    ((_, where, what),) = found(with_objects(folder, {"nodes": nodes}), CHECK)
    assert where == "Node tb-w2 set cali40all-hosts-net"
    assert what == "not in it: IPIP packets from tb-w1 are dropped"


def test_what_no_rule_uses_does_not_matter(with_sets: Make) -> None:
    def change(document: Document) -> None:
        without_member("cali40all-vxlan-net", W1)(document)
        record = document["commands"]["iptables-nft-save"]
        lines = record["output"].splitlines(keepends=True)
        record["output"] = "".join(each for each in lines if "cali40all-vxlan-net" not in each)

    assert found(with_sets(change), CHECK) == []


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"argv": ["ipset"], "problem": "missing"}, "ipsets were not read: missing"),
        ({"argv": ["ipset"], "problem": "too large"}, "ipsets were not read: too large"),
        ({"argv": ["ipset"], "status": 1, "stderr": "no"}, "ipsets were not read: ipset failed"),
        ({"argv": [], "problem": "not asked: the node has no IPVS"}, "an older version"),
        ({"argv": ["ipset"], "status": 0, "output": ""}, "a set that ipset does not list"),
    ],
)
def test_sets_that_were_not_read_are_inconclusive(
    with_sets: Make, record: Document, reason: str
) -> None:
    def change(document: Document) -> None:
        document["commands"][SETS] = record

    folder = with_sets(change)
    assert found(folder, CHECK) == []
    assert any(reason in each for each in reasons(folder))


def test_a_table_listed_without_members_is_inconclusive(with_sets: Make) -> None:
    def change(document: Document) -> None:
        document["commands"][TABLE]["argv"].insert(2, "-t")
        for name in ("cali40masq-ipam-pools", "cali40network-ip-pools", "cali40all-vxlan-net"):
            without_element(name)(document)

    folder = with_sets(change, NFT)
    assert found(folder, CHECK) == []
    assert any("too large" in each for each in reasons(folder))


def test_damaged_sets_are_an_error(with_sets: Make) -> None:
    def change(document: Document) -> None:
        document["commands"][SETS]["output"] += "add no-such-set 192.0.2.1\n"

    outcomes = [each.outcome for each in items(with_sets(change), CHECK)]
    assert sorted(outcomes) == [Outcome.ERROR, Outcome.PASS, Outcome.PASS]


def test_without_pools_the_nodes_are_evaluated_nevertheless(with_sets: Make) -> None:
    folder = with_sets(without_member("cali40all-vxlan-net", W1))
    with_objects(folder, {"ipPools": []})

    ((node, where, _),) = found(folder, CHECK)
    assert (node, where) == ("tb-w2", "Node tb-w2 set cali40all-vxlan-net")
    assert reasons(folder) == {"IPPools of Calico were not read"}


def test_other_networks_have_no_such_sets(small: Any) -> None:
    with pytest.raises(NotApplicable, match="no rule on the node uses a set"):
        small.findings(CHECK)


@pytest.mark.parametrize("recording", [IPT, NFT])
def test_a_redacted_snapshot_gives_the_same_result(
    with_sets: Make, tmp_path_factory: pytest.TempPathFactory, recording: str
) -> None:
    name = "cali40all-vxlan-net"
    change = without_member(name, W1) if recording == IPT else without_element(name)
    folder, copy = with_sets(change, recording), tmp_path_factory.mktemp("redacted")
    redact(Snapshot.open(folder), copy, PLUGIN_NAMES)

    outcomes = [[each.outcome for each in items(each, CHECK)] for each in (folder, copy)]
    assert sorted(outcomes[0]) == sorted(outcomes[1])
    assert Outcome.FAIL in outcomes[1]
    assert not reasons(copy)


def test_ranges_may_be_written_in_other_ways() -> None:
    everything = network("0.0.0.0/0")
    halves = (network("0.0.0.0/1"), network("128.0.0.0/1"))

    assert _covers(halves, everything)
    assert not _covers(halves[:1], everything)
    assert _covers((network("10.0.0.0/8"),), network("10.244.0.0/16"))
    assert not _covers((network("10.244.0.0/24"),), network("10.244.0.0/16"))
    assert not _covers((network("::/0"),), network("10.244.0.0/16"))
    merged = {"range": ["10.244.0.0", "10.245.255.255"]}
    assert [str(each) for each in _ranges(merged)] == ["10.244.0.0/15"]
