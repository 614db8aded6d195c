"""Normalises the order of `nft -j list table`'s output, and cuts it into blocks.

nft lists chains, sets and maps in the order of their creation, and numbers them by handles. Both
are removed here by cutting the text where an item of the list begins, which is cheaper than
decoding it. A text that is not exactly as nft writes it stays as it is.
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
    """The blocks of one table, in order; None if the text stays as it is."""
    end = _END.search(text, max(0, len(text) - 3))
    # Names need no escapes, and without escapes every quotation mark delimits a string.
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
    """Whether the text seems complete, without decoding it."""
    return item.count("{") == item.count("}") and item.count("[") == item.count("]")


Parts = Dict[str, List[str]]


def _parts(items: List[str], family: str) -> Optional[Tuple[Parts, Parts]]:
    """Sets and maps by name, and chains, each with its rules in order, without handles.

    None if an item occurs twice or is of another kind, or if a chain is not declared. Also None
    if two chains have the same hook and priority, because then the older one runs first.
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
