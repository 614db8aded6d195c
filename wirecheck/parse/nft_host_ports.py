"""`nft -j list table ip cni_hostport` and `… crio-hostports`: host ports in nftables.

portmap has a rule for each port, in chains `hostip_hostports` and `hostports`:
    {"rule": {"chain": "hostports", "expr": [{"match": {"left": {"payload": {"protocol": "tcp",
    "field": "dport"}}, "right": 8080}}, {"dnat": {"addr": "10.244.0.3", "port": 80}}]}}
CRI-O has two maps, `hostipports` and `hostports`:
    {"map": {"name": "hostports", "elem": [[{"elem": {"val": {"concat": ["tcp", 8080]}}},
    {"concat": ["10.244.0.3", 80]}]]}}
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from wirecheck.addresses import canonical
from wirecheck.parse.errors import UNKNOWN_SHAPE, ParseError


@dataclass(frozen=True, slots=True)
class NftHostPort:
    """One host port and where it is translated to."""

    protocol: str
    host_address: str
    """Empty for all addresses of the node."""
    port: int
    address: str
    pod_port: int
    text: str
    """As `nft` writes it."""


def parse_host_ports(text: str) -> Iterator[NftHostPort]:
    """Yield the host ports in the order of evaluation: those for one address come first.

    Rules and elements of another form are left out. Raises ParseError if the text is not a
    listing.
    """
    if not text:
        return
    try:
        items = json.loads(text)["nftables"]
        found = [each for item in items for each in _of_item(item)]
    except UNKNOWN_SHAPE as error:
        raise ParseError(f"nft -j list table: it is not a listing: {text[:200]!r}") from error
    yield from sorted(found, key=lambda each: not each.host_address)


def _of_item(item: dict[str, Any]) -> Iterator[NftHostPort]:
    rule, elements = item.get("rule"), item.get("map", {}).get("elem", ())
    try:
        if rule:
            yield from _of_rule(rule)
    except UNKNOWN_SHAPE:
        pass
    for each in elements:
        try:
            yield _of_element(each)
        except UNKNOWN_SHAPE:
            continue


def _of_rule(rule: dict[str, Any]) -> Iterator[NftHostPort]:
    protocol, host, port = "", "", 0
    for statement in rule["expr"]:
        if "match" in statement:
            payload, value = statement["match"]["left"]["payload"], statement["match"]["right"]
            if payload["field"] == "dport":
                protocol, port = payload["protocol"], int(value)
            elif payload["field"] == "daddr":
                host = canonical(value)
            else:
                return
        elif "dnat" in statement:
            to = statement["dnat"]
            yield _host_port(protocol, host, port, to["addr"], int(to["port"]))


def _of_element(element: list[Any]) -> NftHostPort:
    key, value = element
    *host, protocol, port = key.get("elem", {}).get("val", key)["concat"]
    address, pod_port = value["concat"]
    return _host_port(protocol, canonical(host[0]) if host else "", int(port), address, pod_port)


def _host_port(protocol: str, host: str, port: int, address: str, pod_port: int) -> NftHostPort:
    address = canonical(address)
    where = f"[{address}]" if ":" in address else address
    daddr = f"{'ip6' if ':' in host else 'ip'} daddr {host} " if host else ""
    text = f"{daddr}{protocol} dport {port} dnat to {where}:{pod_port}"
    return NftHostPort(protocol, host, port, address, int(pod_port), text)
