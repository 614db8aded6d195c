"""The rest of results that took several pages, by cursors."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field

from wirecheck.run.request import RequestError

MOST_BYTES = 256 << 20
"""All results that are kept; the oldest one goes first."""
_CURSOR = re.compile(r"([0-9a-f]{16})\.([0-9]{1,6})")


@dataclass(slots=True)
class Kept:
    """Results of earlier calls, the oldest first."""

    _pages: OrderedDict[str, tuple[str, Sequence[bytes]]] = field(default_factory=OrderedDict)

    def first(self, tool: str, pages: Sequence[bytes]) -> bytes:
        """The first page; the others are kept."""
        name = secrets.token_hex(8)
        if pages[1:]:
            self._pages[name] = (tool, pages)
            while len(self._pages) > 1 and self._bytes() > MOST_BYTES:
                self._pages.popitem(last=False)
        return _page(name, pages, 0)

    def next(self, tool: str, cursor: str) -> bytes:
        """The page of a cursor. Raises RequestError for one that this tool has not returned."""
        match = _CURSOR.fullmatch(cursor)
        kept = self._pages.get(match[1]) if match else None
        if match is None or kept is None or kept[0] != tool or int(match[2]) >= len(kept[1]):
            raise RequestError(
                f"`{tool}` has returned no such cursor, or its result is no longer kept. Call it "
                "again without a cursor."
            )
        return _page(match[1], kept[1], int(match[2]))

    def _bytes(self) -> int:
        return sum(len(page) for _, pages in self._pages.values() for page in pages)


def _page(name: str, pages: Sequence[bytes], number: int) -> bytes:
    head = b""
    if pages[1:]:
        head = b'"page":%d,"pages":%d,' % (number + 1, len(pages))
    if pages[number + 1 :]:
        head += b'"cursor":"%s.%d",' % (name.encode(), number + 1)
    return b"{%s%s}" % (head, pages[number])
