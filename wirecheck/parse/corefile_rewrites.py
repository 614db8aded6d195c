"""Domains that the plugin `rewrite` of CoreDNS maps to the domain that `kubernetes` serves.

`rewrite name suffix .prod.name. .cluster.local. answer auto` makes every name of the cluster
known under `prod.name` too.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from wirecheck.parse.corefile import cluster_zones, plugins

KINDS = frozenset({"suffix", "substring", "regex"})
"""Kinds of rules that map a whole domain, and not a single name."""

MOST_ZONES = 100
"""Served zones with which each rule is compared."""

DOMAIN = re.compile(r"[a-z0-9-]+(?:\.[a-z0-9-]+)*")


def rewritten_zones(corefile: str) -> tuple[str, ...]:
    """The domains whose names are rewritten to those of a served zone, in order.

    >>> rewritten_zones(".:53 {\\n kubernetes a.b\\n rewrite name suffix .c.d .a.b\\n}")
    ('c.d',)
    """
    served = cluster_zones(corefile)[:MOST_ZONES]
    found = (_domain(*pair, zone) for pair in _rules(corefile) for zone in served)
    return tuple(dict.fromkeys(filter(None, found)))


def templated_zones(corefile: str) -> tuple[str, ...]:
    """The zones for which the plugin `template` makes up answers, in order.

    >>> templated_zones(".:53 {\\n template IN A c.d {\\n }\\n}")
    ('c.d',)
    """
    words = (
        word.strip('"').rstrip(".").lower()
        for each in plugins(corefile)
        if each.name == "template"
        for word in each.arguments[2:]
    )
    return tuple(dict.fromkeys(filter(DOMAIN.fullmatch, words)))


def _rules(corefile: str) -> Iterator[tuple[str, str]]:
    """(from, to) of each rule that maps a domain, without what a regex has in front of it."""
    for plugin in plugins(corefile):
        if plugin.name != "rewrite":
            continue
        for line in (plugin.arguments, *plugin.block):
            words = line[1:] if line and line[0] in ("continue", "stop") else line
            if len(words) < 4 or words[0] != "name" or words[1] not in KINDS:
                continue
            # A regex without a group maps one name only.
            if words[1] != "regex" or ("(" in words[2] and "{" in words[3]):
                yield _plain(words[2]), _plain(words[3])


def _plain(word: str) -> str:
    """`svc.prod.name` of `(.*)\\.svc\\.prod\\.name$` or `{1}.svc.prod.name`."""
    end = re.sub(r"(?:\\?\.\??)?\$?$", "", word.strip('"')).replace("\\.", ".")
    return re.split(r"[)}*+^]", end)[-1].strip(".").lower()


def _domain(source: str, target: str, zone: str) -> str:
    """The domain that stands in `source` where the zone stands in `target`; empty if none does."""
    same = target.removesuffix(zone)
    if same not in ("", "svc.") or not source.startswith(same):
        return ""  # It maps a single name or namespace.
    domain = source.removeprefix(same)
    return domain if DOMAIN.fullmatch(domain) and domain != zone else ""
