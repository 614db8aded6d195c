"""nftables tables of other programs: recorded ones, and small ones for a single rule."""

import json
from pathlib import Path

from msgspec import Raw

from wirecheck.dataplane.nftables.conditions import FULL
from wirecheck.dataplane.nftables.tables import NamedTable
from wirecheck.dataplane.rules.steps import MarkTest
from wirecheck.parse.nft_tables import parse_table
from wirecheck.parse.nftables import NftRule

FOLDER = Path(__file__).parents[2] / "recorded" / "nft-tables"


def recorded_table(name: str, **replaced: str) -> NamedTable:
    """A recorded table, with other texts for some of its own: `port_30080="31000"`."""
    text = (FOLDER / f"{name}.json").read_text()
    for each, new in replaced.items():
        text = text.replace(each.partition("_")[2], new)
    return named(json.loads(text))


def at_priority(table: NamedTable, hook: str, priority: int) -> NamedTable:
    """The same table with another priority of its chains of one hook."""
    for name, chain in table.table.chains.items():
        if chain.hook == hook:
            table.table.chains[name] = type(chain)(name, chain.type, hook, priority, chain.policy)
    return table


def listing_of(
    *rules: list, hook: str = "prerouting", priority: int = -150, of: str = "ip", **chain: object
) -> dict:
    """What nft prints for a table with one base chain, and a set named `few` that rules fill."""
    base = {"type": "filter", "policy": "accept", **chain}
    where = {"family": of, "table": "admin"}
    remembered = {"name": "few", "type": "ipv4_addr", "flags": ["dynamic", "timeout"], "timeout": 9}
    items: list[dict] = [
        {"metainfo": {"json_schema_version": 1}},
        {"table": {"family": of, "name": "admin"}},
        {"set": {**where, **remembered}},
        {"chain": {**where, "name": "first", "hook": hook, "prio": priority, **base}},
        *({"rule": {**where, "chain": "first", "expr": each}} for each in rules),
    ]
    return {"nftables": items}


def table_of(*rules: list, **chain: object) -> NamedTable:
    return named(listing_of(*rules, **chain))  # type: ignore[arg-type]


def named(listing: dict) -> NamedTable:
    own = next(each["table"] for each in listing["nftables"] if "table" in each)
    return NamedTable(own["family"], own["name"], parse_table(json.dumps(listing)))


def rule_of(*expressions: dict) -> NftRule:
    return NftRule("admin", Raw(json.dumps(expressions).encode()))


def match(left: dict, right: object, op: str = "==") -> dict:
    return {"match": {"op": op, "left": left, "right": right}}


def field(protocol: str, name: str) -> dict:
    return {"payload": {"protocol": protocol, "field": name}}


SADDR, DADDR = field("ip", "saddr"), field("ip", "daddr")
DROP, ACCEPT = {"drop": None}, {"accept": None}


MARK = {"meta": {"key": "mark"}}
MARK_TESTS = [
    (match(MARK, 1), MarkTest(1, FULL, False)),
    (match(MARK, 1, "!="), MarkTest(1, FULL, True)),
    (match({"&": [MARK, 0x4000]}, 0x4000), MarkTest(0x4000, 0x4000, False)),
    (match({"&": [MARK, 0x4000]}, 0, "!="), MarkTest(0, 0x4000, True)),
]
"""Conditions on a packet's mark, in full or by a mask, and what they test."""
