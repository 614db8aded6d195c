"""A damaged or hostile listing is refused, or its odd rules are unknown; nothing else happens."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest

from tests.dataplane.nftables.tables import FOLDER
from wirecheck.addresses import address
from wirecheck.dataplane.nftables.tables import NamedTable, stages_of
from wirecheck.dataplane.rules.chains import ChainCache
from wirecheck.dataplane.rules.forwarded_packet import ForwardedPacket, refusal_of
from wirecheck.parse.errors import ParseError
from wirecheck.parse.nft_tables import parse_table

HOOKS = ("prerouting", "input", "forward", "output", "postrouting")
FILES = sorted(each.stem for each in FOLDER.glob("*.json"))
ODD = (
    None,
    [],
    {},
    "",
    0,
    -1,
    10**30,
    "@crowd",
    {"set": 1},
    {"range": [1]},
    {"concat": [1, 2]},
    1.5,
)
KEYS = ("left", "right", "op", "payload", "meta", "vmap", "set", "elem")


def damaged(value: Any, chance: random.Random) -> Any:
    """The same with some values of another type, and some keys of another name."""
    if chance.random() < 0.02:
        return chance.choice(ODD)
    if isinstance(value, dict):
        return {
            chance.choice(KEYS) if chance.random() < 0.01 else key: damaged(each, chance)
            for key, each in value.items()
        }
    return [damaged(each, chance) for each in value] if isinstance(value, list) else value


def read(items: list[Any]) -> bool:
    try:
        table = NamedTable("inet", "odd", parse_table(json.dumps({"nftables": items})))
    except ParseError:
        return False
    for family, (source, to) in {
        4: ("10.244.0.9", "10.244.1.9"),
        6: ("fd00::1", "fd00::2"),
    }.items():
        packet = ForwardedPacket(address(source), address(to), "eth0", "cni0")
        for hook in HOOKS:
            for stage in stages_of(hook, family, [table], ChainCache()):
                refusal_of(stage.chains, stage.base_chain, stage.policy, packet)
                assert all(step.text for chain in stage.chains.all.values() for step in chain.steps)
    return True


@pytest.mark.parametrize("name", FILES)
def test_damaged_listings(name):
    chance = random.Random(name)
    items = json.loads((FOLDER / f"{name}.json").read_text())["nftables"]

    results = [
        read([damaged(each, chance) if chance.random() < 0.5 else each for each in items])
        for _ in range(10)
    ]
    assert read(items)
    assert len(results) == 10
