"""What is cached of other nodes never changes what is read on one."""

import json
import random
import re
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.dataplane import recorded, small
from tests.dataplane.test_recorded_nodes import RecordedNode
from wirecheck.collect.on_node import pieces
from wirecheck.collect.on_node.rule_blocks import blocks_of
from wirecheck.dataplane.cache import ReaderCache
from wirecheck.dataplane.clients import clients_of
from wirecheck.dataplane.expected.services import expected_table
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.nftables.reader import read_nftables
from wirecheck.dataplane.proxy import ProxyFacts
from wirecheck.dataplane.table import Client, Frontend, ServiceTable, Verdict
from wirecheck.parse import nftables
from wirecheck.parse.errors import ParseError
from wirecheck.parse.nftables_texts import NftTexts
from wirecheck.snapshot.blocks import TextStore
from wirecheck.snapshot.objects.node import NodeAddress, NodeObject, NodeStatus

VERSION = "1.35.4"
RANGES = ("10.244.1.0/24", "10.244.0.0/23", "10.99.1.0/24")
ADDRESSES = sorted(
    {each.address for each in recorded.expected(VERSION).entries if "." in each.address}
)


class Place(NamedTuple):
    """In what nodes differ besides their rules."""

    pod_range: str
    address: str
    """One of the Services' addresses that the node has itself."""


Read = Callable[[str, Place, ReaderCache], ServiceTable]


def read_as_iptables(text: str, place: Place, cache: ReaderCache) -> ServiceTable:
    facts = recorded.facts(VERSION)
    return _read(facts, place, lambda *of: read_iptables({4: text}, *of, cache=cache))


def read_as_nftables(text: str, place: Place, cache: ReaderCache) -> ServiceTable:
    facts = recorded.facts(VERSION, "nftables")
    return _read(facts, place, lambda *of: read_nftables({4: text}, *of, cache=cache))


def _read(facts: ProxyFacts, place: Place, read: Callable[..., ServiceTable]) -> ServiceTable:
    node = recorded.node()
    spec = replace(node.spec, pod_cidr=place.pod_range, pod_cidrs=[place.pod_range])
    node = replace(node, spec=spec)
    clients = clients_of(node, facts, [place.address])
    return read(clients, expected_table(recorded.index(), node, facts, clients).entries)


def read_as_ipvs(text: str, place: Place, cache: ReaderCache) -> ServiceTable:
    node = RecordedNode("ipvs")
    spec = replace(node.object.spec, pod_cidr=place.pod_range, pod_cidrs=[place.pod_range])
    node.clients = clients_of(
        replace(node.object, spec=spec), node.facts, [*node.texts["addresses"], place.address]
    )
    node.texts.update(json.loads(text))
    return node.read(cache)


def changed_lines(text: str, chance: random.Random) -> str:
    """A dump of another node: rules in another order, some gone, twice, or leading elsewhere."""
    lines = text.split("\n")
    rules = [at for at, line in enumerate(lines) if line.startswith("-A ")]
    for _ in range(chance.randint(0, 4)):
        at, other = chance.choice(rules), chance.choice(rules)
        match chance.randrange(5):
            case 0:
                lines[at] = re.sub(r"(?<=-destination )[\d.]+", "10.9.9.9", lines[at])
            case 1 if lines[at].split()[1] == lines[other].split()[1]:
                lines[at], lines[other] = lines[other], lines[at]
            case 2:
                lines[at] = lines[at].replace("-j ", "-m foo --bar 1 -j ", 1)
            case 3:
                lines[at] = re.sub(r"-j KUBE-\S+", "-j ACCEPT", lines[at])
            case 4:
                lines[at] = lines[at] + "\n" + lines[at].replace("--dport ", "--dport 1", 1)
    return re.sub(
        r"(?:^-A KUBE-SERVICES -d .*\n)+",
        lambda found: "".join(shuffled(found[0].splitlines(keepends=True), chance)),
        "\n".join(lines),
        flags=re.MULTILINE,
    )


def changed_listing(text: str, chance: random.Random) -> str:
    listing = json.loads(text)
    items = listing["nftables"]
    rules = [each["rule"] for each in items if "rule" in each]
    maps = [each["map"] for each in items if each.get("map", {}).get("elem")]
    sets = [each["set"] for each in items if each.get("set", {}).get("elem")]
    for _ in range(chance.randint(0, 3)):
        rule = chance.choice(rules)
        match chance.randrange(4):
            case 0:
                rule["expr"] = rule["expr"][chance.randint(0, 1) :]
            case 1:
                rule["expr"] = chance.choice(rules)["expr"]
            case 2:
                elements = chance.choice(maps + sets)["elem"]
                del elements[chance.randint(1, len(elements)) :]
            case 3:
                elements = chance.choice(maps)["elem"]
                elements[0] = [elements[0][0], chance.choice(elements)[1]]
    for handle, each in enumerate(shuffled(items, random.Random(1))):
        (inner,) = each.values()
        if "handle" in inner:
            inner["handle"] = handle + chance.randint(1, 9)
    return json.dumps(listing) + "\n"


def changed_servers(text: str, chance: random.Random) -> str:
    texts = json.loads(text)
    title, *servers = re.split(r"^(?=(?:TCP|UDP|SCTP) )", texts["ip_vs"], flags=re.MULTILINE)
    servers = shuffled(servers, chance)
    at = chance.randrange(len(servers))
    servers[at] = chance.choice(["", servers[at].replace("Masq    1", "Masq    0")])
    entries = texts["ipset"].splitlines(keepends=True)
    gone = chance.choice([each for each in entries if each.startswith("add ")])
    rules = changed_lines(texts["iptables"], chance)
    ipset = texts["ipset"].replace(gone, chance.choice([gone, ""]))
    return json.dumps({"ip_vs": title + "".join(servers), "ipset": ipset, "iptables": rules})


def changed_and_in_blocks(change: Callable) -> Callable:
    """The same, as it is read of a document that names its blocks."""
    store = TextStore()

    def changed(text: str, chance: random.Random) -> str:
        other = change(text, chance)
        with mock.patch.object(pieces, "NAMES", 4):
            found = blocks_of(other)
        return store.joined([store.block_of(each) for each in found]) if found else other

    return changed


def shuffled(things: list, chance: random.Random) -> list:
    return chance.sample(things, len(things))


def ipvs_texts() -> str:
    texts = RecordedNode("ipvs").texts
    return json.dumps({name: texts[name] for name in ("ip_vs", "ipset", "iptables")})


@pytest.mark.parametrize(
    ("text", "change", "read"),
    [
        (recorded.iptables(VERSION), changed_lines, read_as_iptables),
        (recorded.iptables(VERSION), changed_and_in_blocks(changed_lines), read_as_iptables),
        (recorded.nft(VERSION), changed_listing, read_as_nftables),
        (recorded.nft(VERSION), changed_and_in_blocks(changed_listing), read_as_nftables),
        (recorded.nft("1.29.6"), changed_listing, read_as_nftables),
        (ipvs_texts(), changed_servers, read_as_ipvs),
    ],
    ids=[
        "iptables",
        "iptables in blocks",
        "nftables",
        "nftables in blocks",
        "nftables with a hairpin set",
        "ipvs",
    ],
)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(0, 10**6))
@pytest.mark.slow
def test_nodes_are_read_as_if_each_were_the_first(
    text: str, change: Callable, read: Read, seed: int
) -> None:
    chance = random.Random(seed)
    nodes = [
        (change(text, chance), Place(chance.choice(RANGES), chance.choice(ADDRESSES)))
        for _ in range(4)
    ]
    nodes.append(nodes[0])
    cache = ReaderCache()
    after_others = [outcome(read, node, cache) for node in nodes]
    for (seen, place), remembered in zip(nodes, after_others, strict=True):
        assert outcome(read, (str(seen), place), ReaderCache()) == remembered


def outcome(read: Read, node: tuple[str, Place], cache: ReaderCache) -> object:
    try:
        table = read(*node, cache)
    except ParseError as error:
        return str(error)
    return dict(table.entries), table.health_check_ports


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from(recorded.VERSIONS))
def test_a_listing_in_pieces_is_the_listing(seed: int, version: str) -> None:
    chance = random.Random(seed)
    text = changed_listing(recorded.nft(version), chance)
    if chance.random() < 0.5:
        at = chance.randrange(len(text))
        text = text[:at] + chance.choice(["", '"', "}, {", ", ", "]", "7"]) + text[at + 1 :]
    try:
        whole = nftables.whole_table(text)
    except ParseError:
        whole = None
    in_pieces = NftTexts().by_items(text)
    if in_pieces is not None:
        assert whole is not None
        assert in_pieces.chains == whole.chains
        assert list(in_pieces.chains) == list(whole.chains)
        assert rules_of(in_pieces) == rules_of(whole)
        assert in_pieces.sets.keys() == whole.sets.keys()
        assert all(in_pieces.sets[name].is_like(each) for name, each in whole.sets.items())


def rules_of(table: nftables.NftTable) -> dict[str, list]:
    return {name: [(each.chain, each.expr) for each in of] for name, of in table.rules.items()}


@pytest.mark.parametrize("version", recorded.VERSIONS)
def test_listings_as_nft_writes_them_are_read_in_pieces(version: str) -> None:
    assert NftTexts().by_items(recorded.nft(version)) is not None


@pytest.mark.parametrize("version", ["1.36.3", "1.37.2"])
def test_a_hairpin_set_with_another_endpoint_is_noticed_after_a_node_without(version: str) -> None:
    bare = recorded.nft(version)
    place = Place(RANGES[0], ADDRESSES[0])
    cache = ReaderCache()
    first = read_as_nftables(bare, place, cache)
    frontend, backend = next(
        (frontend, handling.backends[0])
        for frontend, entry in first.entries.items()
        for handling in entry.handlings.values()
        if frontend.family == 4 and handling.backends
    )
    element = {"concat": [backend.address, backend.address, frontend.protocol, backend.port]}
    listing = json.loads(bare)
    for each in listing["nftables"]:
        if each.get("set", {}).get("name") == "hairpin-connections":
            each["set"]["elem"] = [element]
    text = json.dumps(listing) + "\n"

    after = read_as_nftables(text, place, cache)

    assert after.entries == read_as_nftables(text, place, ReaderCache()).entries
    assert after.entries[frontend] != first.entries[frontend]


def test_a_node_port_is_read_again_on_a_node_with_another_address():
    """Rules for a range of the nodes' addresses are about some nodes only."""
    port = Frontend(4, "", "tcp", 30080)
    rules = """
    -A PREROUTING -d 172.31.1.0/24 -p tcp -m tcp --dport 30080 -j DROP
    -A PREROUTING -p tcp -m tcp --dport 30080 -j DNAT --to-destination 10.244.1.2:8080
    """
    text, cache = small.save({"nat": rules}), ReaderCache()
    found = []
    for address in ("172.31.0.10", "172.31.1.10", "172.31.0.11", "172.31.0.12"):
        status = NodeStatus(addresses=[NodeAddress("InternalIP", address)])
        node = NodeObject(metadata=small.NODE.metadata, spec=small.NODE.spec, status=status)
        clients = clients_of(node, small.facts())
        table = read_iptables({4: text}, clients, {port: None}, cache=cache)
        found.append(table.handling(port, Client.OUTSIDE).verdict)

    assert found == [Verdict.FORWARD, Verdict.DROP, Verdict.FORWARD, Verdict.FORWARD]
