"""The Corefile of CoreDNS, as far as it names the cluster's domain.

A server block begins with its zones (`.:53 {`); `kubernetes` inside it may name zones of its
own, and otherwise serves those of the block.
"""

from __future__ import annotations

import re

REVERSE_ZONES = (".arpa", ".arpa.")


def cluster_zone(corefile: str) -> str:
    """The first forward zone of the `kubernetes` plugin, or nothing where there is none.

    >>> cluster_zone(".:53 {\\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\\n    }\\n}")
    'cluster.local'
    """
    depth = 0
    block: list[str] = []
    for line in corefile.splitlines():
        words = line.split("#")[0].split()
        if depth == 0 and words and words[0] != "}":
            block = words
        if words[:1] == ["kubernetes"] and (zone := _forward(words[1:]) or _forward(block)):
            return zone
        depth += words.count("{") - words.count("}")
    return ""


def _forward(words: list[str]) -> str:
    for word in words:
        zone = re.sub(r"^\w+://|:\d+$|/\d+$|,$", "", word).rstrip(".").lower()
        if zone not in ("", "{") and not zone.endswith(REVERSE_ZONES):
            return zone
    return ""
