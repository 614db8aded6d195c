"""The Corefile of CoreDNS: its server blocks, and the plugins in them.

A server block begins with its zones (`.:53 {`); `kubernetes` inside it may name zones of its
own, and otherwise serves those of the block. Blocks like `(name) {` are snippets, which `import`
puts in elsewhere; it may name files as well, which are not in the ConfigMap's one key.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

REVERSE_ZONES = (".arpa", ".arpa.")
WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')


@dataclass(frozen=True, slots=True)
class Plugin:
    """One plugin of a server block, by its line; what is in braces after it is left out."""

    name: str
    arguments: tuple[str, ...]
    zones: tuple[str, ...]
    """Of the server block, as they are written."""


def plugins(corefile: str) -> Iterator[Plugin]:
    """The plugins of every server block and snippet, `import` among them, in their order."""
    depth = 0
    zones: tuple[str, ...] = ()
    for line in corefile.splitlines():
        words = WORD.findall(line.partition("#")[0])
        named = tuple(word for word in words if word not in "{}")
        if depth == 0 and named[:1] == ("import",):
            yield Plugin("import", named[1:], ())
        elif depth == 0 and named:
            zones = named
        elif depth == 1 and named:
            yield Plugin(named[0], named[1:], zones)
        depth += words.count("{") - words.count("}")


def cluster_zone(corefile: str) -> str:
    """The first forward zone of the `kubernetes` plugin, or nothing where there is none.

    >>> cluster_zone(".:53 {\\n    kubernetes cluster.local in-addr.arpa ip6.arpa {\\n    }\\n}")
    'cluster.local'
    """
    for plugin in plugins(corefile):
        zone = _forward(plugin.arguments) or _forward(plugin.zones)
        if plugin.name == "kubernetes" and zone:
            return zone
    return ""


def _forward(words: tuple[str, ...]) -> str:
    for word in words:
        zone = re.sub(r"^\w+://|:\d+$|/\d+$|,$", "", word).rstrip(".").lower()
        if zone and not zone.endswith(REVERSE_ZONES):
            return zone
    return ""
