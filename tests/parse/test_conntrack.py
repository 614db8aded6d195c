import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wirecheck.addresses import address
from wirecheck.parse.conntrack import parse_connections
from wirecheck.parse.errors import ParseError

TRANSLATED = (
    "udp      17 25 src=10.244.1.5 dst=10.96.0.10 sport=40000 dport=53 "
    "src=10.244.0.2 dst=10.244.1.5 sport=53 dport=40000 [ASSURED] mark=0 use=1"
)
UNREPLIED = (
    "udp      17 29 src=fd00::5 dst=fd00:96::a sport=4 dport=53 [UNREPLIED] "
    "src=fd00:96::a dst=fd00::5 sport=53 dport=4 mark=0 use=1"
)
EXTENDED = "ipv4     2 tcp      6 86399 ESTABLISHED " + TRANSLATED.partition("25 ")[2]


def test_both_directions_are_parsed():
    (entry,) = parse_connections(TRANSLATED)

    assert (entry.protocol, entry.is_replied) == ("udp", True)
    assert (entry.original.destination, entry.original.destination_port) == (
        address("10.96.0.10"),
        53,
    )
    assert entry.reply.source == address("10.244.0.2")


def test_an_entry_without_a_reply_is_marked():
    (entry,) = parse_connections(UNREPLIED)

    assert not entry.is_replied
    assert entry.original.source == address("fd00::5")


def test_the_extended_form_is_parsed():
    (entry,) = parse_connections(EXTENDED)

    assert entry.protocol == "tcp"


def test_empty_text_has_no_connections():
    assert list(parse_connections("\n")) == []


@given(st.integers(0, len(TRANSLATED) - 1))
def test_a_truncated_line_is_an_error_or_still_complete(length):
    cut = TRANSLATED[:length]
    entries = []
    with contextlib.suppress(ParseError):
        entries = list(parse_connections(cut))
    # A missing digit of the last port cannot be noticed. Everything else must be complete.
    assert all(each.reply.source == address("10.244.0.2") for each in entries)


@given(st.text())
def test_any_text_is_parsed_or_refused(text):
    with contextlib.suppress(ParseError):
        list(parse_connections(text))


@pytest.mark.parametrize("word", ["dst=10.96.0.10", "dport=53"])
def test_the_error_names_the_line(word):
    with pytest.raises(ParseError, match="line 2"):
        list(parse_connections(f"{TRANSLATED}\n{TRANSLATED.replace(word, '')}"))
