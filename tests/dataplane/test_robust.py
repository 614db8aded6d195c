"""Whatever a node shows, reading it ends in a table or in a ParseError."""

import contextlib
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataplane import recorded
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.nftables.reader import read_nftables
from wirecheck.parse.errors import ParseError

IPTABLES = recorded.iptables("1.35.4")
RULES = [line for line in IPTABLES.split("\n") if line.startswith("-A ")]
WORDS = sorted({word for rule in RULES for word in rule.split()})


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False))
@pytest.mark.slow
def test_garbled_rules_of_iptables(chance: random.Random) -> None:
    text = IPTABLES
    for _ in range(chance.randint(1, 8)):
        rule = chance.choice(RULES)
        words = rule.split(" ")
        at = chance.randrange(2, len(words))
        words[at : at + chance.randint(0, 2)] = chance.sample(
            [*WORDS, "!", "-m", "x:y", "999999", "10.0.0.0/99", "\ufffd", '"'], chance.randint(0, 2)
        )
        text = text.replace(rule, " ".join(words))
    with contextlib.suppress(ParseError):
        recorded.iptables_differences(text)


@settings(max_examples=150, deadline=None)
@given(st.randoms(use_true_random=False), st.sampled_from(["1.29.6", "1.35.4", "1.37.2"]))
@pytest.mark.slow
def test_garbled_rules_of_nftables(chance: random.Random, version: str) -> None:
    listing = json.loads(recorded.nft(version))
    clients = recorded.clients(version, "nftables")
    for _ in range(chance.randint(1, 5)):
        garble(listing, chance)
    with contextlib.suppress(ParseError):
        read_nftables({4: json.dumps(listing)}, clients)


def garble(value: object, chance: random.Random) -> None:
    """Change one thing somewhere deep inside."""
    while isinstance(value, dict | list) and value:
        key = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        inner = value[key]
        if not isinstance(inner, dict | list) or chance.random() < 0.1:
            value[key] = chance.choice([None, 7, "x", "@x", {}, [], {"a": {"b": 1}}, -1, [[1]]])
            return
        value = inner


def test_garbled_texts_are_no_matter_of_luck() -> None:
    with contextlib.suppress(ParseError):
        read_iptables({4: IPTABLES.replace("KUBE", "\x00")}, recorded.clients("1.35.4"))
