"""resolv.conf: name servers, search domains and options, as in resolv.conf(5)."""

from __future__ import annotations

from dataclasses import dataclass

IGNORED = frozenset({"sortlist", "family", "lookup"})


@dataclass(frozen=True, slots=True)
class ResolvConf:
    """The settings of one file, in order, and the keywords that are not known."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def parse_resolv_conf(text: str) -> ResolvConf:
    """Parse a file; the last `search` or `domain` line counts, as in the resolver.

    >>> parse_resolv_conf("search a.b b\\nnameserver 10.96.0.10\\noptions ndots:5\\n").searches
    ('a.b', 'b')
    """
    nameservers: list[str] = []
    searches: tuple[str, ...] = ()
    options: list[str] = []
    unknown: list[str] = []
    for line in text.splitlines():
        keyword, *values = line.split() or [""]
        match keyword:
            case "":
                continue
            case _ if keyword[0] in "#;":
                continue
            case "nameserver":
                nameservers += values[:1]
            case "search" | "domain":
                searches = tuple(value.rstrip(".") or "." for value in values)
            case "options":
                options += values
            case _ if keyword not in IGNORED:
                unknown.append(keyword)
    return ResolvConf(tuple(nameservers), searches, tuple(options), tuple(unknown))
