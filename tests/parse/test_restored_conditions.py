"""Ports and marks that an old iptables-save does not print are taken from nft's listing."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wirecheck.parse.nft_tables import parse_table
from wirecheck.parse.restored_conditions import restored

RECORDED: dict[str, Any] = json.loads(
    gzip.decompress(
        (Path(__file__).parents[1] / "recorded/nft-tables/of-iptables.json.gz").read_bytes()
    )
)
SAVE: str = RECORDED["iptables-nft-save"]
LOST = re.compile(r" -m (?:tcp|udp|sctp)(?:(?: !)? --[sd]port \S+)+| -m mark(?: !)? --mark \S+")
OLD = LOST.sub("", SAVE).replace("v1.8.9 (nf_tables)", "v1.8.7")
"""As 1.8.7 prints the same rules."""

Change = Callable[[dict[str, list[Any]]], object]


def listings() -> dict[str, list[Any]]:
    return {name: json.loads(text)["nftables"] for name, text in RECORDED["tables"].items()}


def joined(found: dict[str, list[Any]], text: str = OLD) -> str:
    return restored(
        text, {name: parse_table(json.dumps({"nftables": each})) for name, each in found.items()}
    )


def words(text: str) -> list[list[str]]:
    """The rules, whatever the order of their conditions."""
    lines = [line for line in text.splitlines() if line.startswith("-A ")]
    return [sorted(re.sub(r"-m (?:tcp|udp|sctp) ", "", line).split()) for line in lines]


def test_every_condition_is_restored() -> None:
    assert len(LOST.findall(SAVE)) > 20
    assert words(OLD) != words(SAVE)

    found = joined(listings())
    assert words(found) == words(SAVE)
    assert "v1.8.7" not in found


def rules_in(items: list[Any], chain: str) -> list[int]:
    return [at for at, each in enumerate(items) if each.get("rule", {}).get("chain") == chain]


def swapped(found: dict[str, list[Any]]) -> None:
    first, second = rules_in(found["nat"], "KUBE-SERVICES")[:2]
    items = found["nat"]
    items[first], items[second] = items[second], items[first]


def another_protocol(found: dict[str, list[Any]]) -> None:
    text = json.dumps(found["nat"]).replace('"protocol": "udp"', '"protocol": "sctp"')
    found["nat"] = json.loads(text)


CHANGES: dict[str, Change] = {
    "a table is missing": lambda found: found.pop("mangle"),
    "a rule is missing": lambda found: found["nat"].pop(rules_in(found["nat"], "KUBE-SERVICES")[0]),
    "a rule is new": lambda found: found["nat"].append(found["nat"][-1]),
    "rules have another order": swapped,
    "another protocol": another_protocol,
    "a native rule": lambda found: found["filter"].append(
        {"rule": {"chain": "FORWARD", "expr": [{"drop": None}]}}
    ),
    "an unknown form": lambda found: found["nat"].append(
        {"rule": {"chain": "PREROUTING", "expr": [{"match": {"left": 1}}]}}
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_listings_of_different_rules_are_not_joined(change: Change) -> None:
    found = listings()
    change(found)

    assert joined(found) == ""


def test_what_is_printed_stays_as_it_is() -> None:
    assert words(joined(listings(), SAVE)) == words(SAVE)
