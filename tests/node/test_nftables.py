"""The nftables tables of one node: which are kube-proxy's, and what other tables forward to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.checks.small_cluster import SmallCluster
from wirecheck.node.nftables import (
    has_listings,
    has_target,
    other_tables,
    table_names,
    tables_of_iptables,
)
from wirecheck.snapshot.node_document import Command


def chain(family: str, table: str, hook: str = "forward") -> dict[str, Any]:
    base = {"type": "filter", "hook": hook, "prio": 0, "policy": "accept"}
    return {"chain": {"family": family, "table": table, "name": "c", **base}}


def listing(family: str, table: str, hook: str = "forward", *more: dict[str, Any]) -> str:
    declared = {"table": {"family": family, "name": table}}
    return json.dumps({"nftables": [declared, chain(family, table, hook), *more]})


def command(output: str, **fields: Any) -> Command:
    return Command(**{"argv": ["nft", "-j"], "status": 0, "output": output, **fields})


def others(commands: dict[str, Command]) -> list[str]:
    small = SmallCluster()
    small.change_document(commands=commands)
    return [each.label for each in other_tables(small.node.seen)]


@pytest.mark.parametrize(
    ("family", "table", "is_other"),
    [
        ("inet", "firewalld", True),
        ("ip", "crowdsec", True),
        # The tables of iptables are read with its own tool.
        ("ip", "nat", False),
        ("ip6", "filter", False),
        ("inet", "filter", True),
    ],
)
def test_tables_of_other_programs_are_those_that_iptables_does_not_have(
    family: str, table: str, is_other: bool
) -> None:
    name = f"nft-table {family} {table}"

    found = others({name: command(listing(family, table))})
    assert found == ([f"{family} {table}"] if is_other else [])


@pytest.mark.parametrize(
    "broken",
    [
        command(listing("inet", "a"), status=1),
        command(listing("inet", "a"), problem="time limit"),
        command("not json"),
        command(listing("netdev", "a", "ingress")),
        command(listing("netdev", "a", "egress")),
    ],
    ids=["failed", "time limit", "malformed", "of a device", "of packets that leave a device"],
)
def test_what_was_not_read_or_is_of_a_device_hides_no_other_table(broken: Command) -> None:
    commands = {
        "nft-table inet a": broken,
        "nft-table inet b": command(listing("inet", "b")),
        "nft-tables": command("table inet b\n"),
    }

    assert others(commands) == ["inet b"]


def test_the_tables_of_iptables_are_listed_by_family() -> None:
    small = SmallCluster()
    small.change_document(
        commands={
            "nft-table ip nat": command(listing("ip", "nat")),
            "nft-table ip filter": command(listing("ip", "filter"), status=1),
            "nft-table ip raw": command("not json"),
            "nft-table ip mangle": command(listing("ip", "mangle"), problem="time limit"),
            "nft-table ip6 filter": command(listing("ip6", "filter")),
        }
    )

    assert list(tables_of_iptables(small.node.seen, 4)) == ["nat"]
    assert list(tables_of_iptables(small.node.seen, 6)) == ["filter"]


def test_the_names_of_all_tables_are_listed() -> None:
    small = SmallCluster()
    small.change_output("nft-tables", "table ip nat\ntable inet firewalld\n")

    assert table_names(small.node.seen) == ["ip nat", "inet firewalld"]


def test_a_visit_that_looked_for_kube_proxys_tables_has_a_listing() -> None:
    small = SmallCluster()
    assert not has_listings(small.node.seen)
    small.change_output("nft-kube-proxy", "")
    assert has_listings(small.node.seen)


def rule(**dnat: Any) -> dict[str, Any]:
    return {"rule": {"expr": [{"dnat": dnat}]}}


TO = {"addr": "10.244.0.3", "port": 8080}
ELEMENT = [8088, {"concat": ["10.244.0.3", 8080]}]


@pytest.mark.parametrize(
    ("listed", "forwards"),
    [
        (rule(**TO), True),
        (rule(addr="10.244.0.3", port=8081), False),
        (rule(addr="10.244.0.4", port=8080), False),
        (rule(addr="10.244.0.3"), False),
        (rule(port=8080), False),
        ({"map": {"elem": [[1, {"concat": ["10.9.9.9", 1]}], ELEMENT]}}, True),
        ({"map": {"elem": [[8088, {"concat": ["10.244.0.3", 8080, 1]}]]}}, False),
        ({"map": {"elem": [[8088, {"concat": ["10.244.0.3"]}]]}}, False),
        ({"set": {"elem": ["10.244.0.3", 8080]}}, False),
        ({"map": {"elem": [[1, 2, {"concat": ["10.244.0.3", 8080]}]]}}, False),
    ],
)
def test_a_rule_or_a_map_forwards_to_a_port_of_a_pod(
    listed: dict[str, Any], forwards: bool
) -> None:
    small = SmallCluster()
    small.change_output("nft-table ip x", json.dumps({"nftables": [listed]}))

    assert has_target(small.node.seen, "10.244.0.3", 8080) is forwards


def test_only_other_programs_tables_that_were_read_count() -> None:
    text = json.dumps({"nftables": [rule(**TO)]})

    def found(*, among: str = "nft-", **commands: Command) -> bool:
        small = SmallCluster()
        small.change_document(commands={n.replace("_", "-"): c for n, c in commands.items()})
        return has_target(small.node.seen, "10.244.0.3", 8080, among)

    assert found(nft_table_x=command(text))
    assert not found(nft_table_x=command(text), among="nft-hostports")
    assert not found(nft_table_x=command(text, status=1))
    assert not found(nft_kube_proxy=command(text), nft_kube_proxy6=command(text))
    assert found(nft_broken=command("{10.244.0.3"), nft_table_x=command(text))
    assert found(nft_empty=command("10.9.9.9"), nft_table_x=command(text))
    assert not found(iptables_nft_save=command(text))
