"""The Corefile of CoreDNS: its server blocks, and the plugins in them.

A server block begins with its zones (`.:53 {`). The plugin `kubernetes` serves the zones that it
lists, or those of its block. Blocks like `(name) {` are snippets, which `import` includes. It can
also include files, which are not in the key of the ConfigMap that is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

REVERSE_ZONES = (".arpa", ".arpa.")
WORD = re.compile(r'"(?:[^"\\]|\\.)*"|\S+')


@dataclass(frozen=True, slots=True)
class Plugin:
    """The line of one plugin in a server block, without the block in braces after it."""

    name: str
    arguments: tuple[str, ...]
    zones: tuple[str, ...]
    """The zones of the server block, as written."""


def plugins(corefile: str) -> Iterator[Plugin]:
    """The plugins of every server block and snippet, `import` included, in order."""
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
    """The first forward zone of the `kubernetes` plugin; empty if there is none.

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
