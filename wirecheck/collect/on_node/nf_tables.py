"""Reads the names of the node's nftables tables, base chains and sets by netlink.

`nft list tables` reads every rule first: with the rules of 10,000 Services it took 34 s, while
the kernel returns the names at once.
"""

import struct
from typing import Any, Callable, Dict, Iterator, List

from wirecheck.collect.on_node.netlink import Netlink, attributes, text

NETLINK_NETFILTER = 12
GET_TABLE = (10 << 8) | 1  # NFNL_SUBSYS_NFTABLES, NFT_MSG_GETTABLE
HEADER = struct.Struct("=BBH")  # nfgenmsg: family, version, resource
TABLE_NAME = 1
CHAIN_NAME, CHAIN_HOOK, SET_NAME = 3, 4, 2
PARTS = (
    ("chain", (10 << 8) | 4, CHAIN_NAME, CHAIN_HOOK),
    ("set", (10 << 8) | 10, SET_NAME, SET_NAME),
)
"""What, the message that asks for it, its name, and the attribute that those of interest have."""
FAMILIES = {1: "inet", 2: "ip", 3: "arp", 5: "netdev", 7: "bridge", 10: "ip6"}


IPTABLES = frozenset({"raw", "mangle", "nat", "filter"})
"""Names of tables, in the families ip and ip6, that iptables' nft variant has to list."""
MOST_LINES = 200


def table_names() -> Dict[str, Any]:
    """The names as `nft list tables` prints them, one per line: `table ip kube-proxy`."""
    return _record("NFT_MSG_GETTABLE", _tables)


def native_parts() -> Dict[str, Any]:
    """What iptables does not list of its own tables: base chains, also its own, and sets.

    One per line: `chain ip nat PREROUTING`, `set ip nat banned`.
    """
    return _record("NFT_MSG_GETCHAIN", lambda: list(_parts())[:MOST_LINES])


def _record(message: str, read: Callable[[], List[str]]) -> Dict[str, Any]:
    record = {"argv": ["netlink", message]}  # type: Dict[str, Any]
    try:
        record["output"] = "".join("%s\n" % each for each in read())
        record["status"] = 0
    except OSError as error:
        record["problem"] = "the kernel did not list them: %s" % (error.strerror or error)
    return record


def _parts() -> Iterator[str]:
    netlink = Netlink(NETLINK_NETFILTER)
    try:
        for family in (2, 10):
            header = HEADER.pack(family, 0, 0)
            for what, kind, named, needed in PARTS:
                for payload in netlink.dump(kind, header):
                    found = attributes(payload, HEADER.size)
                    table = text(found.get(TABLE_NAME, b""))
                    if table in IPTABLES and needed in found:
                        name = text(found.get(named, b""))
                        yield "%s %s %s %s" % (what, FAMILIES[family], table, name)
    finally:
        netlink.close()


def _tables() -> List[str]:
    netlink = Netlink(NETLINK_NETFILTER)
    try:
        found = []
        for payload in netlink.dump(GET_TABLE, HEADER.pack(0, 0, 0)):
            family = HEADER.unpack_from(payload)[0]
            name = text(attributes(payload, HEADER.size).get(TABLE_NAME, b""))
            found.append("table %s %s" % (FAMILIES.get(family, str(family)), name))
        return found
    finally:
        netlink.close()
