import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.checks.small_cluster import KUBERNETES, answer
from wirecheck.parse.dns_answer import parse_answer
from wirecheck.parse.errors import ParseError


def test_an_address_is_parsed():
    read = parse_answer(base64.b64decode(answer(KUBERNETES, "10.96.0.1")))

    assert (read.rcode, read.data, read.truncated) == ("NOERROR", {"10.96.0.1"}, False)
    assert str(read) == "10.96.0.1"


def test_an_empty_answer_differs_from_nxdomain():
    read = parse_answer(base64.b64decode(answer(KUBERNETES)))

    assert str(read) == "an empty answer"


@pytest.mark.parametrize("wire", [b"", b"\x00", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_other_bytes_are_refused(wire):
    with pytest.raises(ParseError, match="not a DNS response"):
        parse_answer(wire)


@given(st.binary(max_size=200))
def test_any_bytes_are_parsed_or_refused(wire):
    with contextlib.suppress(ParseError):
        parse_answer(wire)


@given(st.data())
def test_a_truncated_answer_is_refused(data):
    wire = base64.b64decode(answer(KUBERNETES, "10.96.0.1"))
    with pytest.raises(ParseError):
        parse_answer(wire[: data.draw(st.integers(0, len(wire) - 1))])
