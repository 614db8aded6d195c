"""Output that is cut, mixed or garbled never reads as a healthy node."""

import json
import random
from collections.abc import Callable, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dataplane import recorded
from tests.dataplane.test_recorded_nodes import RecordedNode
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Differences
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.nftables.reader import read_nftables
from wirecheck.parse.errors import ParseError
from wirecheck.parse.ipset import parse_ipset_save
from wirecheck.parse.iptables import parse_iptables_save
from wirecheck.parse.ipvs import parse_ip_vs
from wirecheck.parse.nftables import NftTable
from wirecheck.parse.texts import ParsedTexts


def parse_nft_table(text: str) -> NftTable:
    return ParsedTexts().nft_table(text)


VERSION = "1.35.4"
WANTED = {mode: recorded.expected(VERSION, mode) for mode in ("iptables", "nftables")}
IPVS = RecordedNode("ipvs")
PARSERS: Mapping[str, Callable[[str], object]] = {
    "iptables": parse_iptables_save,
    "nftables": parse_nft_table,
    "ip_vs": parse_ip_vs,
    "ipset": parse_ipset_save,
}
TEXTS = {
    "iptables": recorded.iptables(VERSION),
    "nftables": recorded.nft(VERSION),
    "ip_vs": IPVS.texts["ip_vs"],
    "ipset": IPVS.texts["ipset"],
}
ODD = ["\ufffd", "\x00", "\r", "\u2028", '"', "\\", "\n\n", "}", " " * 300, "9" * 5000, "-A", "{"]
exactly = settings(deadline=None, derandomize=True, max_examples=25)
every_reader = pytest.mark.parametrize("name", list(PARSERS))


def differences(name: str, text: str) -> Differences:
    """What is found where one output is `text`; ParseError where it is refused."""
    if name in ("ip_vs", "ipset"):
        node = RecordedNode("ipvs")
        node.texts[name] = text
        return node.differences()
    clients = recorded.clients(VERSION, name)
    wanted = WANTED[name]
    read = read_iptables if name == "iptables" else read_nftables
    return compare(wanted, read({4: text}, clients, also=wanted.entries))


def is_refused_or_differs(name: str, text: str) -> bool:
    try:
        return bool(differences(name, text).items)
    except ParseError:
        return True


@pytest.mark.parametrize("name", ["iptables", "nftables", "ip_vs"])
def test_the_whole_output_is_healthy(name: str) -> None:
    assert not differences(name, TEXTS[name]).items


@pytest.mark.parametrize("name", ["iptables", "nftables", "ip_vs"])
@exactly
@given(st.floats(0, 1))
def test_cut_anywhere(name: str, where: float) -> None:
    text = TEXTS[name].rstrip()
    assert is_refused_or_differs(name, text[: int(where * (len(text) - 1))])


@pytest.mark.parametrize("name", ["iptables", "nftables", "ip_vs"])
def test_cut_where_it_looks_whole(name: str) -> None:
    text = TEXTS[name].rstrip()
    ends = {"iptables": "\n", "nftables": "}}", "ip_vs": "\n"}[name]
    at = text.find(ends)
    places = []
    while at > 0:
        places.append(at + len(ends))
        at = text.find(ends, at + 1)
    chosen = places if len(places) < 40 else random.Random(1).sample(places[:-1], 40)
    for place in chosen:
        if place < len(text):
            assert is_refused_or_differs(name, text[:place]), text[place - 80 : place]


@exactly
@given(st.floats(0, 1))
def test_sets_cut_within_a_line(where: float) -> None:
    text = TEXTS["ipset"]
    cut = text[: int(where * (len(text) - 1))]
    if cut and not cut.endswith("\n"):
        with pytest.raises(ParseError):
            parse_ipset_save(cut)


@every_reader
@exactly
@given(st.floats(0, 1), st.floats(0, 1))
def test_a_second_output_in_the_middle_of_the_first(name: str, where: float, since: float) -> None:
    text = TEXTS[name]
    at, begin = int(where * (len(text) - 1)) + 1, int(since * len(text) * 0.9)
    mixed = text[:at] + text[begin:]
    if mixed.split() != text.split() and name != "ipset":
        assert is_refused_or_differs(name, mixed) or says_the_same(name, mixed)


def says_the_same(name: str, text: str) -> bool:
    """Whether nothing is lost: what is there twice, or moved in a line that counts for nothing."""
    if name == "ip_vs":
        servers = {(each.address, each.port, each.protocol) for each in parse_ip_vs(text)}
        whole = {(each.address, each.port, each.protocol) for each in parse_ip_vs(TEXTS[name])}
        return servers == whole
    if name == "nftables":
        return len(text) > len(TEXTS[name]) or items(TEXTS[name]) == items(text)
    lines = set(TEXTS[name].split("\n")) - set(text.split("\n"))
    return all(harmless(line) for line in lines)


def items(text: str) -> set[str]:
    """The items of nft's list, each as text."""
    return {json.dumps(each, sort_keys=True) for each in json.loads(text)["nftables"]}


def harmless(line: str) -> bool:
    """Neither a Service's rule nor the way there: what it lacks changes nothing for Services."""
    return not line.startswith("-A ") or "KUBE-MARK-MASQ" in line or "KUBE-FORWARD" in line


@every_reader
def test_twice(name: str) -> None:
    text = TEXTS[name]
    if name == "ip_vs":
        assert is_refused_or_differs(name, text + text)
    else:
        with pytest.raises(ParseError):
            PARSERS[name](text + text)


@every_reader
@exactly
@given(st.floats(0, 1), st.sampled_from(ODD), st.integers(0, 30))
def test_something_odd_in_place_of_something(
    name: str, where: float, odd: str, length: int
) -> None:
    text = TEXTS[name]
    at = int(where * len(text))
    garbled = text[:at] + odd + text[at + length :]
    said = ""
    try:
        PARSERS[name](garbled)
        if name != "ipset":
            differences(name, garbled)
    except ParseError as error:
        said = str(error)
    assert len(said) < 1000


@pytest.mark.parametrize(
    "table", ["*broute\n:BROUTING ACCEPT [0:0]\nCOMMIT\n", "*nat2\nCOMMIT\n", "*\nCOMMIT\n"]
)
def test_an_unknown_table_is_refused(table: str) -> None:
    with pytest.raises(ParseError, match="one of the tables"):
        parse_iptables_save(TEXTS["iptables"] + table)


@pytest.mark.parametrize("size", [100_000, 1_000_000])
def test_a_very_long_rule_is_read_like_any_other(size: int) -> None:
    text = TEXTS["iptables"]
    rule = next(line for line in text.split("\n") if "-j KUBE-SVC-" in line and "-d " in line)
    long = f'-A KUBE-SERVICES -m comment --comment "{"x" * size}" -j RETURN'
    assert differences("iptables", text.replace(rule, f"{long}\n{rule}", 1)).items
    garbage = f"-A KUBE-SERVICES {'-m foo --bar baz ' * (size // 17)}-j ACCEPT"
    assert differences("iptables", text.replace(rule, f"{garbage}\n{rule}", 1)).items


def test_bytes_that_are_no_utf8_count_only_in_comments() -> None:
    text = TEXTS["iptables"]
    comment = text.replace(" cluster IP", " clust\ufffdr IP")
    assert comment != text
    assert not differences("iptables", comment).items
    assert is_refused_or_differs(
        "iptables", text.replace("--to-destination 1", "--to-destination \ufffd", 1)
    )


@exactly
@given(st.floats(0.02, 0.98), st.booleans())
def test_two_halves_of_different_generations(where: float, newer_first: bool) -> None:
    """While it was read all chains got other names."""
    old = TEXTS["iptables"]
    new = old.replace("KUBE-SEP-", "KUBE-SEP-N").replace("KUBE-SVC-", "KUBE-SVC-N")
    halves = (new, old) if newer_first else (old, new)
    first, second = (each.split("\n") for each in halves)
    at = int(where * len(first))
    mixed = first[:at] + second[at:]
    if "\n".join(mixed) not in (old, new):
        counts = [line for line in mixed if "KUBE-SEP-" in line or "KUBE-SVC-" in line]
        whole = [
            [w for w in each if "KUBE-SEP-" in w or "KUBE-SVC-" in w] for each in (first, second)
        ]
        assert counts in whole or is_refused_or_differs("iptables", "\n".join(mixed))


@exactly
@given(st.integers(0, 10**6))
def test_a_table_of_nft_that_changed_while_it_was_read(seed: int) -> None:
    """Chains of Services that were there when chains were listed, and whose rules are gone."""
    chance = random.Random(seed)
    listing = json.loads(TEXTS["nftables"])["nftables"]
    chains = {each["rule"]["chain"] for each in listing if "rule" in each}
    gone = chance.choice(sorted(each for each in chains if each.startswith("service-")))
    left = [each for each in listing if each.get("rule", {}).get("chain") != gone]
    assert is_refused_or_differs("nftables", json.dumps({"nftables": left}))
    undeclared = [each for each in listing if each.get("chain", {}).get("name") != gone]
    with pytest.raises(ParseError):
        parse_nft_table(json.dumps({"nftables": undeclared}))


def test_a_rule_of_nft_whose_statements_are_no_objects() -> None:
    listing = json.loads(TEXTS["nftables"])["nftables"]
    rules = [each["rule"] for each in listing if "rule" in each]
    for rule in (rules[0], rules[-1]):
        said, rule["expr"] = rule["expr"], ["accept"]
        with pytest.raises(ParseError, match="a rule of chain"):
            differences("nftables", json.dumps({"nftables": listing}))
        rule["expr"] = said
