"""What `nft -j list table` printed, in an order that tells nothing, and in blocks.

Chains, sets and maps have names, and are listed in the order in which they were made; handles
tell the same. Both are taken out here by cutting the text where an item of the list begins,
which costs less than to decode it. A text that is not just as nft writes it stays as it is.
"""

import re
from typing import Dict, List, Optional, Set, Tuple

from wirecheck.collect.on_node.pieces import begins_block

_BEGIN = re.compile(r'\{"nftables": \[\{"metainfo": \{[^][{}]*\}\}')
_END = re.compile(r"\]\}\n?\Z")
_BEFORE_ITEM = re.compile(r', (?=\{"(?:table|set|map|chain|rule)": \{"family": "ip6?", )')
_HANDLE = r'"handle": (?:0|[1-9]\d*)'
_TABLE = re.compile(
    r'(\{"table": \{"family": "(ip6?)", "name": "kube-proxy"), %s\}\}' % _HANDLE, re.ASCII
)
_NAMED = re.compile(
    r'\{"(?:set|map)": \{"family": "(ip6?)", "name": "([^"]+)", "table": "kube-proxy", '
    r'"type": (?:"[^"]*"|\[[^]]*\]), %s(?=[,}])' % _HANDLE,
    re.ASCII,
)
_CHAIN = re.compile(
    r'\{"chain": \{"family": "(ip6?)", "table": "kube-proxy", "name": "([^"]+)", %s(?=[,}])'
    % _HANDLE,
    re.ASCII,
)
_RULE = re.compile(
    r'\{"rule": \{"family": "(ip6?)", "table": "kube-proxy", "chain": "([^"]+)", %s(?=, )'
    % _HANDLE,
    re.ASCII,
)
_HOOK = re.compile(r'"hook": "\w+", "prio": -?\d+')
_LAST_HANDLE = re.compile(", %s\\Z" % _HANDLE, re.ASCII)


def blocks_of(text: str) -> Optional[List[str]]:
    """The blocks of one table, in their order; None where the text stays as it is."""
    end = _END.search(text, max(0, len(text) - 3))
    # Nobody's names need escapes, and without any a quotation mark is one.
    if end is None or "\\" in text:
        return None
    metainfo, *items = _BEFORE_ITEM.split(text[: end.start()])
    if not _BEGIN.fullmatch(metainfo):
        return None
    table = _TABLE.fullmatch(items[0]) if items else None
    if table is None or not all(map(_is_whole, items)):
        return None
    parts = _parts(items[1:], table.group(2))
    if parts is None:
        return None
    blocks = [[metainfo, table.group(1) + "}}"]]
    for kind in parts:
        for name in sorted(kind):
            if begins_block(name):
                blocks.append([])
            blocks[-1] += kind[name]
    texts = [", ".join(each) for each in blocks if each]
    texts[1:] = [", " + each for each in texts[1:]]
    texts[-1] += end.group()
    return texts


def _is_whole(item: str) -> bool:
    """Whether nothing of it was cut off, as far as can be told without decoding it."""
    return item.count("{") == item.count("}") and item.count("[") == item.count("]")


Parts = Dict[str, List[str]]


def _parts(items: List[str], family: str) -> Optional[Tuple[Parts, Parts]]:
    """Sets and maps by name, and chains, each with its rules in their order, without handles.

    None where one is there twice, a chain is not declared, or an item is of another kind; and
    where two chains have one place at a hook: the one that was made first comes first.
    """
    sets: Parts = {}
    chains: Parts = {}
    hooks: Set[str] = set()
    for item in items:
        rule, chain = _RULE.match(item), _CHAIN.match(item)
        found = rule or chain or _NAMED.match(item)
        if not found or found.group(1) != family:
            return None
        name, into = found.group(2), chains if rule or chain else sets
        if (name in into) is not bool(rule):
            return None
        hook = _HOOK.search(item) if chain else None
        if hook and hook.group() in hooks:
            return None
        if hook:
            hooks.add(hook.group())
        plain = _LAST_HANDLE.sub("", found.group()) + item[found.end() :]
        into.setdefault(name, []).append(plain)
    return sets, chains
