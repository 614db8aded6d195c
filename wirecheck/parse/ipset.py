"""`ipset save`: sets that iptables rules refer to.

create KUBE-CLUSTER-IP hash:ip,port family inet hashsize 1024 maxelem 65536
add KUBE-CLUSTER-IP 10.96.0.1,tcp:443
"""

from __future__ import annotations

from dataclasses import dataclass, field

from wirecheck.parse.errors import ParseError


@dataclass(slots=True)
class Ipset:
    """One set: its type, such as `hash:ip,port`, and its entries as they are written."""

    name: str
    type: str
    entries: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)
    """Entries with `nomatch`: what they have is not in the set, although a wider entry has it."""


def parse_ipset_save(text: str) -> dict[str, Ipset]:
    """The sets in `text` by name; raises ParseError with the first malformed line."""
    sets: dict[str, Ipset] = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n"), start=1):
        words = line.split()
        match words:
            case ["create", name, kind, *_] if name not in sets:
                sets[name] = Ipset(name, kind)
            case ["add", name, entry, *options] if name in sets:
                found = sets[name]
                (found.excluded if _has_nomatch(options) else found.entries).append(entry)
            case [] if not text.strip():
                return {}
            case _:
                raise ParseError(f"ipset save: line {number} is malformed: {line[:200]!r}")
    if text and not text.endswith("\n"):
        raise ParseError("ipset save: the output ends within a line: it is truncated")
    return sets


def _has_nomatch(options: list[str]) -> bool:
    """Whether it is among the options of an entry; a comment, which may say anything, is last."""
    end = options.index("comment") if "comment" in options else len(options)
    return "nomatch" in options[:end]
