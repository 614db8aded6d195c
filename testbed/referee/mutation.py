"""One change of the rules that were read: what it is, and the sight that shows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from testbed.referee.dice import Dice
from testbed.referee.judging import Sight
from wirecheck.snapshot.node_document import NodeDocument


@dataclass(frozen=True, slots=True)
class Edit:
    """One change of one text."""

    kind: str
    """`delete`, `redirect`, `reorder`, `weight`, `shadow` and what else a source has."""
    before: str
    """The rule or element that was there; of a reorder the first of the two."""
    after: str
    """What is there instead; empty for nothing."""
    text: str
    """The whole text after it."""


@dataclass(frozen=True)
class Mutation:
    """An edit, where it was made, and what is seen then."""

    source: str
    """The command or file whose output was changed."""
    edit: Edit
    sight: Sight


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """What tells on this node whether an edit does harm."""

    addresses: frozenset[str]
    """The node's own."""
    sources: frozenset[str]
    """Those from which the node itself connects: the main one of each family."""
    endpoints: frozenset[str]
    """The addresses of endpoints that are on the node, by all slices that name them."""
    contested: frozenset[str] = frozenset()
    """External addresses and ports of several Services, as `198.18.255.1,tcp:80`."""
    masquerades_all: bool = False
    pod_ranges: frozenset[str] = frozenset()
    """Of the node, one of each family."""


ADDRESSES = "addresses"
"""The source that is no command's output: the addresses of the node's interfaces."""

Editor = Callable[[Dice, str], Edit | None]


def texts(document: NodeDocument) -> dict[str, str]:
    """The texts that hold Service rules, by command or file."""
    found = {name: each.output for name, each in document.commands.items()}
    found[ADDRESSES] = _addresses(document)
    return found


def _addresses(document: NodeDocument) -> str:
    """`eth0 172.31.0.10`, a line for each address of the node."""
    own = document.namespaces[0]
    names = {each.index: each.name for each in own.links}
    return "".join(f"{names[each.index]} {each.address}\n" for each in own.addresses)


def _with_addresses(document: NodeDocument, text: str) -> NodeDocument:
    own, *others = document.namespaces
    names = {each.index: each.name for each in own.links}
    kept = set(text.splitlines())
    left = [each for each in own.addresses if f"{names[each.index]} {each.address}" in kept]
    changed = msgspec.structs.replace(own, addresses=left)
    return msgspec.structs.replace(document, namespaces=[changed, *others])


def with_text(sight: Sight, source: str, text: str) -> Sight:
    """The same look, but for one text."""
    document = sight.document
    if source == ADDRESSES:
        changed = _with_addresses(document, text)
    else:
        command = msgspec.structs.replace(document.commands[source], output=text)
        commands = {**document.commands, source: command}
        changed = msgspec.structs.replace(document, commands=commands)
    return Sight(sight.api, changed)
