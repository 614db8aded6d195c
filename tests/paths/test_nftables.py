"""Rules in nftables: those of kube-proxy, against its own iptables rules, and foreign tables."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from tests.changed_recordings import Document
from tests.paths.conftest import FAR_GATEWAY, WEB, complete, on
from wirecheck.inspect.trace_view import TraceView

RECORDED = Path(__file__).parents[1] / "recorded" / "kube-proxy"
VERSIONS = ("1.30.14", "1.33.13", "1.37.2")


def services() -> list[str]:
    """Some Services' addresses with a TCP port."""
    found = json.loads(gzip.decompress((RECORDED / "services.json.gz").read_bytes()))
    items = found["items"] if isinstance(found, dict) else found
    return [
        f"{each['spec']['clusterIP']}:{port['port']}"
        for each in items
        for port in each["spec"].get("ports", ())
        if port.get("protocol", "TCP") == "TCP"
        and each["spec"].get("clusterIP", "None").count(".") == 3
        and each["spec"].get("sessionAffinity", "None") == "None"
    ][:12]


def handled(view: TraceView) -> Counter[str]:
    """The backends with their shares in percent, or how packets end before one is chosen."""
    found: Counter[str] = Counter()
    for path in view.paths:
        texts = [each.text for each in path.there.hops if each.text.startswith("the dest")]
        ends = texts[0].partition(";")[0] if texts else path.reason
        found[ends if texts or path.result == "dies" else "no rule"] += round(path.share * 100)
    return found


def with_output(command: str, text: str) -> object:
    def change(document: Document) -> None:
        commands = document["commands"]
        commands[command] = {"argv": [command], "status": 0, "output": text}

    return change


@pytest.mark.parametrize("version", VERSIONS)
def test_both_modes_of_kube_proxy_send_packets_the_same_way(traced, version: str) -> None:
    read = [
        gzip.decompress((RECORDED / f"{version}.{kind}.gz").read_bytes()).decode()
        for kind in ("iptables-save.txt", "nft.json")
    ]
    none = with_output("iptables-nft-save", "")
    by_mode = [
        [on("wc-w2", with_output("iptables-nft-save", read[0]))],
        [on("wc-w2", none), on("wc-w2", with_output("nft-kube-proxy", read[1]))],
    ]

    differing, seen = {}, set()
    for to in services():
        found = [handled(traced(WEB, to, complete, *changes)) for changes in by_mode]
        seen |= {each.partition(" becomes")[0] for each in found[0]}
        if found[0] != found[1]:
            differing[to] = found
    assert differing == {}
    assert "the destination" in seen


def foreign(*expressions: object, hook: str = "forward", priority: int = -10) -> object:
    """The listing of a foreign table with one base chain and one rule."""
    table = {"family": "inet", "table": "foreign"}
    chain = {**table, "name": "guard", "type": "filter", "hook": hook, "prio": priority,
             "policy": "accept"}  # fmt: skip
    listed = [
        {"metainfo": {"version": "1.0.9", "json_schema_version": 1}},
        {"table": {"family": "inet", "name": "foreign", "handle": 1}},
        {"chain": {**chain, "handle": 1}},
        {"rule": {**table, "chain": "guard", "handle": 2, "expr": list(expressions)}},
    ]

    def change(document: Document) -> None:
        document["commands"]["nft-tables"]["output"] += "table inet foreign\n"
        record = {"argv": ["nft"], "status": 0, "output": json.dumps({"nftables": listed})}
        document["commands"]["nft-table inet foreign"] = record

    return change


TO_GATEWAY = {
    "match": {
        "op": "==",
        "left": {"payload": {"protocol": "ip", "field": "daddr"}},
        "right": "10.244.1.9",
    }
}


@pytest.mark.parametrize(("hook", "stage"), [("forward", "forward"), ("prerouting", "prerouting")])
def test_a_foreign_table_that_drops(traced, hook: str, stage: str) -> None:
    rule = foreign(TO_GATEWAY, {"drop": None}, hook=hook)
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", rule))

    hop = view.paths[0].decisive
    assert (view.result, hop.node, hop.stage) == ("dies", "wc-w2", stage)
    assert hop.lines == ["nftables table inet foreign: chain guard: ip daddr 10.244.1.9 drop"]


def test_an_accept_in_one_table_does_not_end_the_hook(traced) -> None:
    accept = foreign(TO_GATEWAY, {"accept": None}, priority=-200)
    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", accept))

    assert view.result == "reaches"


def test_a_table_of_which_only_the_name_is_known(traced) -> None:
    def change(document: Document) -> None:
        document["commands"]["nft-tables"]["output"] += "table inet hidden\ntable bridge guard\n"

    view = traced(WEB, FAR_GATEWAY, complete, on("wc-w2", change))

    assert view.result == "cannot be decided"
    unread = " ".join(view.paths[0].unread)
    assert "inet hidden" in unread
    assert "bridge guard" in unread
