"""DNS servers that only the node knows: its cache, what its kubelet hands out, its pods' own."""

import ipaddress
import re
from typing import Any, Collection, Dict, Iterator, List, Tuple

from wirecheck.collect.on_node.visit_state import VisitState

JsonObject = Dict[str, Any]

CACHE_DEVICE = "nodelocaldns"
MOST_PODS = 16
"""Pods of a node whose own server is queried: on most nodes all have the same one."""

NOT_OF_AN_ADDRESS = re.compile("[^0-9A-Fa-f:.]+")


def of_the_node(visit: VisitState) -> List[JsonObject]:
    """Queries from the node to its cache, and to what the kubelet hands out to pods."""
    own = visit.document["namespaces"][0]
    devices = [each["index"] for each in own.get("links", ()) if each["name"] == CACHE_DEVICE]
    bound = [each["address"] for each in own.get("addresses", ())]
    cache = [each["address"] for each in own.get("addresses", ()) if each["index"] in devices]
    servers = dict.fromkeys(cache + _handed_out(visit))
    return [
        dict(each, server=server, purpose="local cache" if server in bound else each["purpose"])
        for server in servers
        if server not in _planned(visit)
        for each in visit.plan["dns"].get("own_servers", ())
    ]


def of_pods(visit: VisitState, silent: Collection[int]) -> Iterator[Tuple[int, JsonObject]]:
    """(netns, query) for pods whose first nameserver is not queried anyway.

    A pod chooses what its resolv.conf contains. Only a server that the kubelet hands out is
    queried, or one in a private range beside a search path of a cluster.
    """
    planned, handed_out = _planned(visit), _handed_out(visit)
    seen: Dict[int, str] = {}
    for pod in visit.document.get("pods", ()):
        inode = pod["inode"]
        text = pod["resolv_conf"].get("text", "")
        server = _first_nameserver(text)
        if inode in silent or inode not in visit.namespaces.descriptors or server in planned:
            continue
        if server in handed_out or (server and ".svc." in text and not _is_public(server)):
            seen.setdefault(inode, server)
    for inode, server in sorted(seen.items())[:MOST_PODS]:
        for each in visit.plan["dns"].get("own_servers", ()):
            yield inode, dict(each, server=server)


def _planned(visit: VisitState) -> List[str]:
    return [each["server"] for each in visit.plan["dns"]["pods"]]


def _handed_out(visit: VisitState) -> List[str]:
    """The addresses in the kubelet's settings, at most three, as in a resolv.conf."""
    kubelet = visit.document.get("kubelet") or {}
    text = kubelet.get("flags", {}).get("cluster-dns") or " ".join(kubelet.get("lines", ()))
    words = (_address(word) for word in NOT_OF_AN_ADDRESS.split(text))
    return list(dict.fromkeys(filter(None, words)))[:3]


def _first_nameserver(text: str) -> str:
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["nameserver"]:
            return _address("".join(words[1:2]))
    return ""


def _address(word: str) -> str:
    """The usual form of an address; empty for any other word."""
    try:
        return str(ipaddress.ip_address(word))
    except ValueError:
        return ""


def _is_public(server: str) -> bool:
    known = ipaddress.ip_address(server)
    return known.is_global or known.is_multicast or known.is_unspecified
