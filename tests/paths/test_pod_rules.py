"""Rules inside a pod: its packets meet them beside those of the node."""

from __future__ import annotations

import json

import pytest

from tests.changed_recordings import Document
from tests.paths.conftest import END, FAR_GATEWAY, HEAD, WEB, complete, on
from tests.paths.test_dying import dies, pod

TARGET = "10.244.1.9"


def listed(filters: list[str], **listings: Document) -> object:
    """The pod gateway with tables, and with their listings."""

    def change(netns: Document) -> None:
        netns["filters"] = filters
        netns["listings"] = {key.replace("_", " "): each for key, each in listings.items()}

    return on("wc-w1", pod(TARGET, change))


def saved(*rules: str, policy: str = "ACCEPT", head: str = HEAD) -> Document:
    lines = ["*filter", f":INPUT {policy} [0:0]", ":OUTPUT ACCEPT [0:0]", *rules, "COMMIT"]
    return {
        "argv": ["iptables-nft-save"],
        "status": 0,
        "output": head + "\n".join(lines) + f"\n{END}",
    }


def table(hook: str, *expressions: object) -> Document:
    own = {"family": "inet", "table": "guard"}
    chain = {**own, "name": "c", "type": "filter", "hook": hook, "prio": 0, "policy": "accept"}
    found = [
        {"table": {"family": "inet", "name": "guard", "handle": 1}},
        {"chain": {**chain, "handle": 1}},
        {"rule": {**own, "chain": "c", "handle": 2, "expr": list(expressions)}},
    ]
    return {"argv": ["nft"], "status": 0, "output": json.dumps({"nftables": found})}


def port(number: int) -> Document:
    payload = {"payload": {"protocol": "tcp", "field": "dport"}}
    return {"match": {"op": "==", "left": payload, "right": number}}


@pytest.mark.parametrize(
    ("rule", "stage"),
    [
        ("-A INPUT -p tcp -m tcp --dport 8080 -j DROP", "input"),
        ("-A INPUT -s 10.244.2.8/32 -j REJECT", "input"),
        ("-A OUTPUT -p tcp -m tcp --sport 8080 -j DROP", "output"),
        ("-A INPUT -p tcp -m tcp --dport 81 -j DROP", ""),
        ("-A INPUT -m strange --with it -j DROP", None),
    ],
)
def test_a_rule_of_iptables(traced, rule: str, stage: str | None) -> None:
    rules = {"iptables-nft-save": saved(rule)}
    view = traced(WEB, FAR_GATEWAY, complete, listed(["ip filter"], **rules))

    if stage:
        assert dies(view)[1] == stage
        hop = view.paths[0].decisive
        assert (hop.netns, hop.lines[-1].endswith(rule)) == (FAR_GATEWAY.replace("/", " ", 1), True)
    else:
        assert view.result == ("reaches" if stage == "" else "cannot be decided")


def test_a_policy_that_drops(traced) -> None:
    rules = {"iptables-nft-save": saved(policy="DROP")}
    view = traced(WEB, FAR_GATEWAY, complete, listed(["ip filter"], **rules))

    assert dies(view)[1] == "input"


@pytest.mark.parametrize(
    ("hook", "number", "result"),
    [("input", 8080, "dies"), ("input", 81, "reaches"), ("forward", 8080, "reaches")],
)
def test_a_table_of_nftables(traced, hook: str, number: int, result: str) -> None:
    own = {"nft-table_inet_guard": table(hook, port(number), {"drop": None})}
    view = traced(WEB, FAR_GATEWAY, complete, listed(["inet guard"], **own))

    assert view.result == result


@pytest.mark.parametrize(
    "change",
    [
        listed(["inet guard"]),
        listed(["nat"]),
        listed(["ip filter"], **{"iptables-nft-save": {"argv": [], "problem": "too large"}}),
        listed(
            ["inet guard"], **{"nft-table_inet_guard": {"argv": [], "status": 0, "output": "x"}}
        ),
        listed(["netdev guard"]),
    ],
)
def test_tables_that_were_not_read_leave_it_open(traced, change) -> None:
    view = traced(WEB, FAR_GATEWAY, complete, change)

    assert view.result == "cannot be decided"
    assert "were not read" in view.reason


def test_a_tool_that_prints_no_ports(traced) -> None:
    """Before 1.8.8 the nft variant leaves out ports that newer versions wrote."""
    rules = {
        "iptables-nft-save": saved("-A INPUT -p tcp -j DROP", head=HEAD.replace("1.8.11", "1.8.7"))
    }
    view = traced(WEB, FAR_GATEWAY, complete, listed(["ip filter"], **rules))

    assert view.result == "cannot be decided"
    assert "iptables 1.8.7" in view.reason
