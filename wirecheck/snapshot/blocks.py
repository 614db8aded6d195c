"""Texts in blocks that nodes share: each block is stored once, read once and parsed once.

A node of a cluster with 10,000 Services prints 12 MB of rules, and other nodes print the same.
The node program cuts such a text into blocks (`on_node/rule_blocks.py`), named by a digest of
their content, so that a document can name blocks instead of containing them.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from weakref import WeakValueDictionary

from msgspec import structs

from wirecheck.snapshot.command import Command
from wirecheck.snapshot.node_document import NodeDocument

MOST_TEXTS = 6
"""The number of texts that are cached for the next node: a node has one or two large ones."""


MOST_CHARACTERS = 128 << 20
"""Of all texts of a document: an untrusted one may name a large block a thousand times."""


TOO_LARGE = "its blocks together exceed the size of any output"


class Block:
    """A part of a text. Blocks with the same content are one object while it is in use."""

    __slots__ = ("__weakref__", "digest", "text")

    def __init__(self, digest: str, text: str) -> None:
        self.digest = digest
        self.text = text


class BlockText(str):
    """A text with the blocks that it consists of, for callers that process block by block."""

    blocks: tuple[Block, ...]


class MissingBlockError(Exception):
    """A block of a text is missing or damaged. The message has the cause."""


Find = Callable[[str], str]
"""The text of a block by its digest; raises MissingBlockError."""


def digest_of(text: str) -> str:
    """The name of a block with this text: its SHA-256."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


class TextStore:
    """The blocks in use and the last texts made of them.

    One snapshot owns it, so that its nodes share what they have in common.
    """

    def __init__(self) -> None:
        self._blocks: WeakValueDictionary[str, Block] = WeakValueDictionary()
        self._texts: OrderedDict[tuple[str, ...], BlockText] = OrderedDict()

    def block_of(self, text: str) -> Block:
        """Return the block with this text."""
        return self._block(digest_of(text), lambda _: text)

    def joined(self, blocks: Sequence[Block]) -> BlockText:
        """Return the text that consists of these blocks."""
        names = tuple(each.digest for each in blocks)
        text = self._texts.get(names)
        if text is None:
            text = self._texts[names] = BlockText("".join(each.text for each in blocks))
            text.blocks = tuple(blocks)
        self._texts.move_to_end(names)
        while len(self._texts) > MOST_TEXTS or self._are_too_long():
            self._texts.popitem(last=False)
        return text

    def _are_too_long(self) -> bool:
        """Whether the texts beside the last one have more characters than a document may have."""
        *others, _ = map(len, self._texts.values())
        return sum(others) > MOST_CHARACTERS

    def text_of(self, digests: Sequence[str], find: Find, most: int = MOST_CHARACTERS) -> BlockText:
        """Return the text that consists of the blocks with these digests.

        Raises MissingBlockError if `find` does, or if it has more than `most` characters.
        """
        names = tuple(digests)
        if names not in self._texts:
            return self.joined(self._all_of(digests, find, most))
        self._texts.move_to_end(names)
        if len(self._texts[names]) > most:
            raise MissingBlockError(TOO_LARGE)
        return self._texts[names]

    def _all_of(self, digests: Iterable[str], find: Find, most: int) -> list[Block]:
        found: list[Block] = []
        size = 0
        for digest in digests:
            found.append(self._block(digest, find))
            size += len(found[-1].text)
            if size > most:
                raise MissingBlockError(TOO_LARGE)
        return found

    def _block(self, digest: str, find: Find) -> Block:
        block = self._blocks.get(digest)
        if block is None:
            block = self._blocks[digest] = Block(digest, find(digest))
        return block


def restored(document: NodeDocument, find: Find, store: TextStore) -> NodeDocument:
    """Return the document with its texts instead of names of blocks.

    `find` returns blocks that the document lacks.
    If a block is missing, its command counts as failed, and the rest of the document is valid.
    """
    if not any(each.blocks for each in document.commands.values()):
        return document

    def found(digest: str) -> str:
        text = document.blocks.get(digest)
        return find(digest) if text is None else _proven(digest, text)

    left = MOST_CHARACTERS
    commands = {}
    for name, each in document.commands.items():
        commands[name] = _restored(each, found, store, left)
        left -= len(commands[name].output) if each.blocks else 0
    return structs.replace(document, commands=commands, blocks={})


def whole(document: NodeDocument) -> NodeDocument:
    """The document with its texts, if it contains all of their blocks."""
    return restored(document, _nowhere, TextStore())


def _nowhere(digest: str) -> str:
    raise MissingBlockError(f"a part of its output, {digest[:12]}, is not in the document")


def _restored(command: Command, find: Find, store: TextStore, most: int) -> Command:
    if not command.blocks:
        return command
    try:
        text = store.text_of(command.blocks, find, most)
    except MissingBlockError as error:
        return structs.replace(command, blocks=[], status=None, problem=str(error))
    return structs.replace(command, blocks=[], output=text)


def _proven(digest: str, text: str) -> str:
    if digest_of(text) != digest:
        raise MissingBlockError(f"a part of its output, {digest[:12]}, was changed in transit")
    return text


def named(document: NodeDocument) -> NodeDocument:
    """The opposite of `restored`: the document names its texts' blocks, and contains them."""
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
