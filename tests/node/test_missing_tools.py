"""Which tools a node lacks, as far as the visit needed them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from wirecheck.node.missing_tools import (
    is_missing,
    missing_tools,
    names_of_missing,
    tracks_connections,
)
from wirecheck.snapshot.netns import Link, Namespace
from wirecheck.snapshot.node_document import Command, ConntrackSample, Host, NodeDocument

TRACKS = {"/proc/sys/net/netfilter/nf_conntrack_max": "131072"}


def document(*missing: str, **fields: Any) -> NodeDocument:
    commands = {name: Command([name], problem="missing") for name in missing}
    return NodeDocument(
        **{
            "format": 1,
            "program": "0",
            "started": 0.0,
            "finished": 1.0,
            "host": Host("n1"),
            "namespaces": [Namespace(inode=1, links=[Link(2, "eth0")])],
            "files": {},
            "commands": commands,
            **fields,
        }
    )


def test_a_command_that_was_not_needed_is_not_missing() -> None:
    assert is_missing(document("ipset-save"), "ipset-save")
    assert not is_missing(document(), "ipset-save")
    failed = {"ipset-save": Command(["ipset"], problem="time limit")}
    assert not is_missing(document(commands=failed), "ipset-save")


def test_each_tool_is_named_once() -> None:
    found = names_of_missing(document("iptables-save", "ip6tables-save", "nft-kube-proxy"))

    assert found == ("iptables", "nft")
    assert names_of_missing(document()) == ()


@pytest.mark.parametrize(
    ("fields", "tracks"),
    [
        ({"files": TRACKS}, True),
        ({"files": {"/proc/sys/net/ipv4/ip_forward": "1"}}, False),
        ({}, False),
        ({"conntrack": [ConntrackSample(0.0, {})]}, True),
        ({"files": None}, False),
        ({"files": None, "problems": ["Sysctls: OSError."]}, True),
    ],
)
def test_conntrack_is_needed_where_the_kernel_tracks_connections(
    fields: dict[str, Any], tracks: bool
) -> None:
    found = document("conntrack-dns", **fields)

    assert tracks_connections(found) is tracks
    assert names_of_missing(found) == (("conntrack",) if tracks else ())


@pytest.mark.parametrize(
    ("namespaces", "names"),
    [
        ([["kube-ipvs0"]], ("ipset",)),
        ([["eth0", "kube-ipvs0"]], ("ipset",)),
        ([["eth0"]], ()),
        ([["eth0"], ["kube-ipvs0"]], ()),
        ([], ()),
    ],
)
def test_ipset_is_needed_where_kube_proxy_uses_ipvs(
    namespaces: list[list[str]], names: tuple[str, ...]
) -> None:
    some = [
        Namespace(inode=inode, links=[Link(n, name) for n, name in enumerate(links)])
        for inode, links in enumerate(namespaces)
    ]

    assert names_of_missing(document("ipset-save", namespaces=some)) == names


NOT_ASKED = "not asked: no legacy table is loaded"


@pytest.mark.parametrize(
    ("command", "tables", "version", "expected"),
    [
        ("iptables-save", "table ip nat\n", "missing", True),
        ("iptables-save", "table ip6 filter\ntable ip filter\n", "missing", True),
        ("iptables-save", "table ip6 nat\n", "missing", False),
        ("ip6tables-save", "table ip6 nat\n", "missing", True),
        ("iptables-save", "table ip mangle\n", "missing", False),
        ("iptables-save", None, "missing", True),
        ("iptables-save", "table ip nat\n", "", False),
        ("iptables-save", "table ip nat\n", None, False),
        ("iptables-nft-save", "table ip nat\n", "missing", False),
    ],
)
def test_an_older_program_did_not_ask_for_rules_without_iptables(
    command: str, tables: str | None, version: str | None, expected: bool
) -> None:
    commands = {command: Command([command], problem=NOT_ASKED)}
    if version is not None:
        commands["iptables-version"] = Command(["iptables"], problem=version)
    if tables is not None:
        commands["nft-tables"] = Command(["nft"], status=0, output=tables)

    assert is_missing(document(commands=commands), command) is expected


def test_other_reasons_are_no_missing_tool() -> None:
    commands = {
        "iptables-save": Command(["iptables-save"], problem="not asked: another reason"),
        "iptables-version": Command(["iptables"], problem="missing"),
    }

    assert not is_missing(document(commands=commands), "iptables-save")


def test_a_listing_of_tables_that_failed_shows_none() -> None:
    commands = {
        "iptables-save": Command(["iptables-save"], problem=NOT_ASKED),
        "iptables-version": Command(["iptables"], problem="missing"),
        "nft-tables": Command(["nft"], status=1, output="table ip6 nat\n"),
    }

    assert is_missing(document(commands=commands), "iptables-save")


def test_the_sentence_names_all_of_them() -> None:
    assert missing_tools("n1", document("nft-kube-proxy", "iptables-save")).startswith(
        "n1 has no iptables or nft that wirecheck can run."
    )
    assert missing_tools("n1", replace(document())).startswith("n1 has no such tool")
