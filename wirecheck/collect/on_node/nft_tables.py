"""Which nftables tables are listed beside those of kube-proxy and of host ports.

iptables lists its own tables. Packets meet the chains of all others as well: of firewalld, Docker,
block lists and administrators.
"""

import re
from typing import List, Tuple

from wirecheck.collect.on_node.nf_tables import IPTABLES

MOST, MOST_OF_LINKS = 16, 8
SECONDS = 10.0
"""For one table: nft before 1.0.1 reads all tables to list one."""
BYTES = 1 << 20
"""A longer table is listed without the elements of its sets, such as block lists."""
BYTES_OF_IPTABLES = 4 << 20
SECONDS_OF_IPTABLES = 20.0
"""For a table of iptables, where its own tool does not print all conditions: 1,500 Services."""
LISTED = frozenset({"kube-proxy", "cni_hostport", "crio-hostports"})
"""Names of tables that have commands of their own, in the families ip and ip6."""
_LINE = re.compile(r"table (ip|ip6|inet) ([A-Za-z][A-Za-z0-9_.-]{0,127})", re.ASCII)
_LINK_LINE = re.compile(r"table (bridge|arp|netdev) ([A-Za-z][A-Za-z0-9_.-]{0,127})", re.ASCII)
"""nft reads its arguments as one text in its own language: any other name could be a command."""


def others(names: str) -> List[Tuple[str, str]]:
    """Family and name of the tables that are listed, from the kernel's names of all tables."""
    found = []
    for line in names.splitlines():
        match = _LINE.fullmatch(line)
        if match and not (match.group(1) != "inet" and match.group(2) in LISTED | IPTABLES):
            found.append((match.group(1), match.group(2)))
    return found[:MOST]


def of_links(names: str) -> List[Tuple[str, str]]:
    """The tables that frames and ARP meet: of bridges, of single devices."""
    found = (_LINK_LINE.fullmatch(line) for line in names.splitlines())
    return [(each.group(1), each.group(2)) for each in found if each][:MOST_OF_LINKS]


def of_iptables(family: str, names: str) -> List[Tuple[str, str]]:
    """The tables of iptables of a family (ip, ip6) that the kernel has."""
    lines = names.splitlines()
    own = ("raw", "mangle", "nat", "filter")
    return [(family, each) for each in own if "table %s %s" % (family, each) in lines]
