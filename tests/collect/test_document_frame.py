from __future__ import annotations

import base64
import hashlib
import zlib

import pytest

from wirecheck.collect import document_frame
from wirecheck.collect.document_frame import FrameError, unframed
from wirecheck.collect.on_node.visit import framed

DOCUMENT = {"format": 1, "text": "é\u0000 and 'quotes'"}
FRAME = framed(DOCUMENT).encode()
JSON = b'{"format":1,"text":"\\u00e9\\u0000 and \'quotes\'"}'


def frame(body: bytes, version: int = 1) -> bytes:
    digest = hashlib.sha256(body).hexdigest()
    return b"wirecheck-document %d %d %s\n%s\n" % (version, len(body), digest.encode(), body)


def test_comes_back_as_it_was() -> None:
    assert unframed(FRAME) == JSON


def test_a_greeting_before_and_a_farewell_after_are_not_minded() -> None:
    assert unframed(b"Welcome to wirecheck-document!\r\nLast login" + FRAME + b"bye\n") == JSON


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (b"", "contains no document"),
        (b"hello\n", "contains no document"),
        (FRAME[:-30], "cut off"),
        (FRAME[: len(FRAME) // 2], "contains no document|cut off"),
        (FRAME.replace(b"e", b"f"), "contains no document|changed"),
        (FRAME + FRAME, "more than one"),
        (frame(b"!!!!"), "cannot be decompressed"),
        (frame(base64.b64encode(b"not packed")), "cannot be decompressed"),
        (frame(base64.b64encode(zlib.compress(b"x" * 999)[:-5])), "incomplete before"),
        (frame(base64.b64encode(zlib.compress(b"{}")), version=2), "format 2"),
    ],
)
def test_says_what_is_wrong(output: bytes, says: str) -> None:
    with pytest.raises(FrameError, match=says):
        unframed(output)


def test_every_cut_is_noticed() -> None:
    body_end = FRAME.index(b"\nwirecheck-document-end")
    for length in range(body_end):
        with pytest.raises(FrameError):
            unframed(FRAME[:length])


def test_a_document_without_end_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document_frame, "MOST_BYTES", 1000)

    with pytest.raises(FrameError, match="larger than"):
        unframed(frame(base64.b64encode(zlib.compress(b"x" * 1_000_000))))
