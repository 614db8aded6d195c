import contextlib
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wirecheck.parse.errors import ParseError
from wirecheck.parse.nftables import NftTable
from wirecheck.parse.texts import ParsedTexts


def parse_nft_table(text: str) -> NftTable:
    return ParsedTexts().nft_table(text)


RECORDED = Path(__file__).parents[1] / "recorded" / "kube-proxy"
LISTINGS = sorted(RECORDED.glob("*.nft.json.gz"))
TEXT = gzip.decompress(LISTINGS[0].read_bytes()).decode()


@pytest.mark.parametrize("path", LISTINGS, ids=lambda path: path.name)
def test_recorded_tables_are_understood(path: Path) -> None:
    table = parse_nft_table(gzip.decompress(path.read_bytes()).decode())
    hooks = {chain.hook for chain in table.chains.values()}
    assert hooks == {"", "prerouting", "input", "forward", "output", "postrouting"}
    assert len(table.sets["service-ips"].elem) == 5
    assert all(
        table.sets[name].timeout == 10800 and table.sets[name].is_remembered
        for name in table.sets
        if name.startswith("affinity-")
    )


def test_an_empty_text_is_a_table_that_does_not_exist() -> None:
    assert parse_nft_table("").chains == {}
    assert parse_nft_table("\n").chains == {}


@settings(max_examples=200)
@given(st.integers(min_value=1, max_value=len(TEXT.rstrip()) - 1))
def test_a_cut_text_never_passes(length: int) -> None:
    with pytest.raises(ParseError):
        parse_nft_table(TEXT[:length])


@settings(max_examples=200)
@given(st.text(max_size=200))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    for each in (text, json.dumps({"nftables": [{"chain": text}]}), TEXT.replace('"rule"', text)):
        with contextlib.suppress(ParseError):
            parse_nft_table(each)


@pytest.mark.parametrize(
    "item",
    [
        {"flowtable": {"name": "x"}},
        {"rule": {"chain": "nowhere", "expr": []}},
        {"metainfo": {"json_schema_version": 2}},
        {"chain": {"hook": "input"}},
    ],
)
def test_what_is_not_known_is_refused(item: dict) -> None:
    with pytest.raises(ParseError):
        parse_nft_table(json.dumps({"nftables": [item]}))


@pytest.mark.parametrize("said", [None, 1, "accept", {"accept": None}, ["accept"], [[]]])
def test_rules_that_say_it_in_no_list_of_objects_are_refused(said: object) -> None:
    items = [{"chain": {"name": "here"}}, {"rule": {"chain": "here", "expr": said}}]
    table = parse_nft_table(json.dumps({"nftables": items}))
    with pytest.raises(ParseError, match="chain here"):
        _ = table.rules["here"].rules[0].expr
