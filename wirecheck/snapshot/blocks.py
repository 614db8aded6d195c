"""Texts in blocks that nodes have in common: each block is stored once, read once, parsed once.

A node of a cluster with 10,000 Services prints 12 MB of rules, and the next one prints the same
again. The node program cuts such a text into blocks (`on_node/rule_blocks.py`) and names them by
their content, so that a document may name blocks instead of holding them.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from weakref import WeakValueDictionary

from msgspec import structs

from wirecheck.snapshot.node_document import Command, NodeDocument

MOST_TEXTS = 6
"""Whole texts that are kept for the next node: a node has one or two that are large."""


MOST_CHARACTERS = 256 << 20
"""Of a text: a document may name a large block a thousand times."""


class Block:
    """A part of a text. One with the same content is the same object, as long as it is in use."""

    __slots__ = ("__weakref__", "digest", "text")

    def __init__(self, digest: str, text: str) -> None:
        self.digest = digest
        self.text = text


class BlockText(str):
    """A text that is known to be made of blocks, for those who can do with less than all of it."""

    blocks: tuple[Block, ...]


class MissingBlockError(Exception):
    """A block that a text is made of cannot be had: a sentence with the next step."""


Find = Callable[[str], str]
"""The text of a block by its digest; raises MissingBlockError."""

_blocks: WeakValueDictionary[str, Block] = WeakValueDictionary()
_texts: OrderedDict[tuple[str, ...], BlockText] = OrderedDict()


def forget() -> None:
    """Keep no text, and find no block again that somebody else still holds."""
    _texts.clear()
    _blocks.clear()


def digest_of(text: str) -> str:
    """What a block with this text is named by."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def block_of(text: str) -> Block:
    """The block with this text."""
    return _kept(digest_of(text), lambda _: text)


def joined(blocks: Sequence[Block]) -> BlockText:
    """The text that is made of these."""
    names = tuple(each.digest for each in blocks)
    text = _texts.get(names)
    if text is None:
        text = BlockText("".join(each.text for each in blocks))
        text.blocks = tuple(blocks)
        _texts[names] = text
    _texts.move_to_end(names)
    while len(_texts) > MOST_TEXTS:
        _texts.popitem(last=False)
    return text


def restored(document: NodeDocument, find: Find) -> NodeDocument:
    """The document with the texts that it only names; `find` is asked for blocks it lacks.

    Where one cannot be had, the command failed, and the rest of the document is good.
    """
    if not any(each.blocks for each in document.commands.values()):
        return document

    def found(digest: str) -> str:
        text = document.blocks.get(digest)
        return find(digest) if text is None else _proven(digest, text)

    commands = {name: _restored(each, found) for name, each in document.commands.items()}
    return structs.replace(document, commands=commands, blocks={})


def whole(document: NodeDocument) -> NodeDocument:
    """The document, with the texts of which it has all blocks itself."""
    return restored(document, _nowhere)


def _nowhere(digest: str) -> str:
    raise MissingBlockError(f"a part of its output, {digest[:12]}, is not in the document")


def _restored(command: Command, find: Find) -> Command:
    if not command.blocks:
        return command
    known = _texts.get(tuple(command.blocks))
    try:
        text = known or joined(_all_of(command.blocks, find))
    except MissingBlockError as error:
        return structs.replace(command, blocks=[], status=None, problem=str(error))
    _texts.move_to_end(tuple(command.blocks))
    return structs.replace(command, blocks=[], output=text)


def _all_of(digests: Iterable[str], find: Find) -> list[Block]:
    found: list[Block] = []
    size = 0
    for digest in digests:
        found.append(_kept(digest, find))
        size += len(found[-1].text)
        if size > MOST_CHARACTERS:
            raise MissingBlockError("its blocks together are larger than any output can be")
    return found


def _kept(digest: str, find: Find) -> Block:
    block = _blocks.get(digest)
    if block is None:
        block = _blocks[digest] = Block(digest, find(digest))
    return block


def _proven(digest: str, text: str) -> str:
    if digest_of(text) != digest:
        raise MissingBlockError(f"a part of its output, {digest[:12]}, was changed on its way")
    return text


def named(document: NodeDocument) -> NodeDocument:
    """The opposite of `restored`: texts are named, and their blocks in the document."""
    made = {
        name: each.output.blocks
        for name, each in document.commands.items()
        if isinstance(each.output, BlockText)
    }
    if not made:
        return document
    commands = {
        name: structs.replace(each, output="", blocks=[block.digest for block in made[name]])
        if name in made
        else each
        for name, each in document.commands.items()
    }
    contents = {each.digest: each.text for blocks in made.values() for each in blocks}
    return structs.replace(document, commands=commands, blocks=contents)
