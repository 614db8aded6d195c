"""How many values a JSON text has: decoded, each takes many times the bytes that it has there."""

from __future__ import annotations

import re

MOST_VALUES = 6_000_000
"""Of one document: 10,000 pods with network namespaces of their own have about 2,000,000."""

LEAST_BYTES = 8 << 20
"""A smaller text cannot have enough values to matter."""

_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""One that does not end takes the rest of the text: otherwise each quote in it would be tried as
the beginning of another one."""


def has_too_many_values(raw: bytes) -> bool:
    """Whether decoding the JSON text would take too much memory, whatever its types say.

    The decoder checks the length of a list only after it has decoded all of it.
    """
    if len(raw) < LEAST_BYTES:
        return False
    outside = _STRING.sub(b"", raw)
    return sum(outside.count(each) for each in (b",", b"[", b"{")) > MOST_VALUES
