"""The nftables reader on the recorded kube-proxies, in both layouts, and on changed rules."""

import copy
import json
from collections.abc import Iterator

import pytest

from tests.dataplane import recorded
from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Difference, Kind
from wirecheck.dataplane.nftables.reader import read_nftables
from wirecheck.dataplane.table import Client, Frontend, Masquerade, Verdict

DNS = Frontend(4, "10.96.0.10", "udp", 53)
LAYOUTS = ("1.29.6", "1.35.4", "1.37.2")


def differences(listing: dict, version: str) -> tuple[Difference, ...]:
    wanted = recorded.expected(version, "nftables")
    clients = recorded.clients(version, "nftables")
    read = read_nftables({4: json.dumps(listing)}, clients, also=wanted.entries)
    return compare(wanted, read).items


def listing(version: str) -> dict:
    return json.loads(recorded.nft(version))


@pytest.mark.parametrize("version", recorded.VERSIONS)
def test_a_healthy_node_has_no_difference(version: str) -> None:
    wanted = recorded.expected(version, "nftables")
    clients = recorded.clients(version, "nftables")
    read = read_nftables({4: recorded.nft(version)}, clients, also=wanted.entries)
    found = compare(wanted, read)
    assert not found.items
    assert found.compared == 9
    assert set(read.entries) == set(wanted.entries)


@pytest.mark.parametrize("version", LAYOUTS)
def test_what_is_read_of_the_recorded_services(version: str) -> None:
    read = read_nftables({4: recorded.nft(version)}, recorded.clients(version, "nftables"))
    dns = read.handling(DNS, Client.POD)
    assert dns.backends == (Backend("10.244.0.2", 53), Backend("10.244.0.3", 53))
    assert dns.shares == (0.5, 0.5)
    assert dns.masquerade is Masquerade.NEVER
    assert read.handling(DNS, Client.OUTSIDE).masquerade is Masquerade.ALWAYS
    local = Frontend(4, "", "tcp", 31008)
    assert read.handling(local, Client.OUTSIDE).verdict is Verdict.DROP
    assert read.handling(local, Client.POD).affinity == (10800,)
    assert "10.244.0.2" in dns.lines_to(dns.backends[0])[-1]


def changes(version: str) -> Iterator[tuple[str, dict]]:
    """Every way to take one rule, or one element of a map, out of a table."""
    whole = listing(version)
    for at, item in enumerate(whole["nftables"]):
        if "rule" in item:
            changed = copy.copy(whole)
            changed["nftables"] = whole["nftables"][:at] + whole["nftables"][at + 1 :]
            yield f"{item['rule']['chain']}: {json.dumps(item['rule']['expr'])}", changed
        for number in range(len(item.get("map", {}).get("elem", ()))):
            changed = copy.deepcopy(whole)
            key = changed["nftables"][at]["map"]["elem"].pop(number)[0]
            yield f"{item['map']['name']}: {json.dumps(key)}", changed


HARMLESS = (
    # No backend of a recorded Service is on this node, so none connects to itself.
    *(f'"field": "saddr"}}}}, "right": "{network}.' for network in ("10.244.0", "10.244.1")),
    *(f'"field": "saddr"}}}}, "right": "{network}.' for network in ("10.244.2", "172.30.0")),
    "@hairpin-connections",
    # No recorded Service has source ranges.
    "firewall-check",
    "firewall-allow-check",
    # Takes the mark away again before the packet leaves.
    'masquerading: [{"mangle"',
    # Refuses invalid packets, which are no first ones.
    '"target": "forward"',
    "forward: [{",
    # No Service's address is one of the node's own.
    'filter-input: [{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": "new"}}, '
    '{"jump": {"target": "service-endpoints-check"}}]',
    # Both refuse what has no endpoints: one is enough.
    '{"concat": ["10.96.158.149", "tcp", 80]}, "comment": "default/empty:http"',
    "cluster-ips-check",
    "reject-chain: ",
)
SEEN = ("filter-forward: ", "filter-output: ")
"""Among these only the jumps to what is in HARMLESS are."""

HARMLESS_IN_1_29 = (
    # The node's own connections are dropped before they would get here.
    'external-4Z6N3DUC-default/local/tcp/http: [{"match": {"op": "==", "left": {"fib"',
)


def is_harmless(name: str, version: str) -> bool:
    if version == "1.29.6":
        own = ('"default/empty:http"', "reject-chain: ", 'service-endpoints-check"')
        if any(part in name for part in own):
            return False
        if name.startswith(HARMLESS_IN_1_29):
            return True
    if name.startswith(SEEN) and "endpoints-check" in name:
        return False
    return any(part in name for part in HARMLESS)


@pytest.mark.parametrize("version", LAYOUTS)
def test_what_is_taken_out_is_seen_unless_it_has_no_part_in_services(version: str) -> None:
    wrong = [
        name
        for name, changed in changes(version)
        if bool(differences(changed, version)) is is_harmless(name, version)
    ]
    assert not wrong


@pytest.mark.parametrize("version", LAYOUTS)
def test_a_redirected_backend_is_stale_and_the_right_one_missing(version: str) -> None:
    text = recorded.nft(version)
    changed = text.replace('{"addr": "10.244.0.2", "port": 53}', '{"addr": "10.9.9.9", "port": 53}')
    changed = changed.replace('{"concat": ["10.244.0.2", 53]}', '{"concat": ["10.9.9.9", 53]}')
    found = differences(json.loads(changed), version)
    assert {each.kind for each in found} == {Kind.BACKEND_MISSING, Kind.BACKEND_STALE}
    assert {each.backend for each in found} == {Backend("10.244.0.2", 53), Backend("10.9.9.9", 53)}
    assert {each.owner.service for each in found if each.owner} == {"kube-dns"}


@pytest.mark.parametrize("version", LAYOUTS)
@pytest.mark.parametrize(
    ("expr", "kinds"),
    [
        ([{"accept": None}], {Kind.VERDICT, Kind.FRONTEND_MISSING}),
        ([{"counter": None}], set()),
        ([{"newthing": {"a": 1}}], {Kind.NOT_UNDERSTOOD}),
        (
            [
                {
                    "match": {
                        "op": "==",
                        "left": {"meta": {"key": "hour"}},
                        "right": "12:00",
                    }
                },
                {"accept": None},
            ],
            {Kind.NOT_UNDERSTOOD},
        ),
        (
            [
                {
                    "match": {
                        "op": "==",
                        "left": {"payload": {"protocol": "ip", "field": "saddr"}},
                        "right": {"prefix": {"addr": "10.244.5.0", "len": 25}},
                    }
                },
                {"accept": None},
            ],
            {Kind.SOURCES},
        ),
    ],
)
def test_a_rule_before_the_services(version: str, expr: list, kinds: set[Kind]) -> None:
    whole = listing(version)
    first = next(
        at
        for at, item in enumerate(whole["nftables"])
        if item.get("rule", {}).get("chain") == "services"
    )
    rule = {"family": "ip", "table": "kube-proxy", "chain": "services", "expr": expr}
    whole["nftables"].insert(first, {"rule": rule})
    assert {each.kind for each in differences(whole, version)} == kinds


def test_a_node_without_the_table_lacks_every_frontend() -> None:
    wanted = recorded.expected("1.35.4", "nftables")
    read = read_nftables({}, recorded.clients("1.35.4", "nftables"), also=wanted.entries)
    found = compare(wanted, read).items
    assert {each.kind for each in found} == {Kind.FRONTEND_MISSING}
    assert len({each.frontend for each in found}) == 9


@pytest.mark.parametrize("version", LAYOUTS)
def test_a_drop_where_marks_are_looked_at_is_found(version: str) -> None:
    changed = listing(version)
    rules = changed["nftables"]
    at = next(n for n, e in enumerate(rules) if e.get("rule", {}).get("chain") == "masquerading")
    # The marked ones, from 1.37; before, those without a mark.
    some = rules[at]["rule"]["expr"][0]
    rules.insert(
        at, {"rule": {**rules[at]["rule"], "handle": 9999, "expr": [some, {"drop": None}]}}
    )
    found = differences(changed, version)
    assert {each.kind for each in found} >= {Kind.MASQUERADE}
    assert {each.found for each in found if each.kind is Kind.MASQUERADE} == {Masquerade.DROPPED}
    assert any(each.frontend == DNS for each in found)
