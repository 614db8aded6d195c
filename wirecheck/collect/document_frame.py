"""The frame around a node's document, which shows whether the document arrived completely."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import zlib
from itertools import islice

from wirecheck.collect.on_node.visit import FORMAT, MARKER
from wirecheck.snapshot.folder import LARGEST_DOCUMENT

MOST_BYTES = LARGEST_DOCUMENT - (32 << 20)
"""The limit of the document itself: a compromised node may send anything.

It is below what a snapshot's reader accepts, so that every document that is stored can be read.
"""

_FRAME = re.compile(rb"(?:^|\n)%s (\d{1,4}) (\d{1,12}) ([0-9a-f]{64})\r?\n" % MARKER.encode())


class FrameError(ValueError):
    """The output contains no complete document; the message says why."""


def unframed(output: bytes) -> bytes:
    """The JSON document in the program's output. Raises FrameError.

    Text before and after it is ignored, such as the greeting of a login shell.
    """
    headers = list(islice(_FRAME.finditer(output), 2))
    if not headers:
        raise FrameError("the answer contains no document")
    header = headers[0]
    version, length = int(header[1]), int(header[2])
    if len(headers) > 1:
        raise FrameError("the answer contains more than one document")
    if version != FORMAT:
        raise FrameError(f"the document has format {version}, not {FORMAT}")
    body = output[header.end() : header.end() + length]
    if len(body) < length:
        raise FrameError(f"the document was cut off after {len(body):,} of {length:,} bytes")
    if hashlib.sha256(body).hexdigest().encode() != header[3]:
        raise FrameError("the document was changed in transit")
    return _decompressed(body)


def _decompressed(body: bytes) -> bytes:
    decompressor = zlib.decompressobj()
    try:
        document = decompressor.decompress(base64.b64decode(body, validate=True), MOST_BYTES)
    except (binascii.Error, zlib.error) as error:
        raise FrameError(f"the document cannot be decompressed: {error}") from error
    if decompressor.unconsumed_tail:
        raise FrameError(f"the document is larger than {MOST_BYTES >> 20} MiB")
    if not decompressor.eof:
        raise FrameError("the document was incomplete before it was compressed")
    return document
