import pytest

from tests.report import sample
from wirecheck.report.sentences import coverage_sentence
from wirecheck.results.records import Coverage
from wirecheck.text import (
    duration,
    harmless,
    harmless_lines,
    listed,
    middle_cut,
    middle_shortened,
    moment,
    plural,
    shortened,
)


def test_coverage_in_one_sentence():
    coverage = Coverage(
        nodes_seen=238,
        nodes_known=240,
        pods_seen=6120,
        pods_known=6133,
        services_seen=4410,
        services_known=4410,
        unreachable=["a", "b"],
        undecided=7,
    )
    assert coverage_sentence(coverage) == (
        "Checked 238/240 nodes, 6,120/6,133 pods, 4,410/4,410 Services; 2 nodes unreachable; "
        "7 objects inconclusive"
    )


def test_a_sample_of_the_pairs_of_nodes_is_named():
    coverage = Coverage(nodes_known=240, connections=9000, sampled_peers=16)
    assert "connections from each node to 16/239 others" in coverage_sentence(coverage)


@pytest.mark.parametrize(
    ("helped", "words"),
    [
        (3, "helper pods on 3/40 nodes (all pairs)"),
        (40, "helper pods on 40/40 nodes (from each to 16/39 others)"),
    ],
)
def test_the_nodes_between_which_large_payloads_were_sent_are_named(helped, words):
    coverage = Coverage(nodes_known=40, helper_pods=helped, helper_pods_wanted=40)
    assert f"large payloads between {words}" in coverage_sentence(coverage)


def test_coverage_of_nothing():
    assert coverage_sentence(Coverage()) == "Checked 0/0 nodes, 0/0 pods, 0/0 Services"


def test_services_that_were_not_checked_are_counted():
    assert "0/9 Services" in coverage_sentence(sample.nothing().ended.coverage)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (61, "1 min 1 s"), (3725, "1 h 2 min")],
)
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("time", "words"),
    [
        ("2026-11-23T03:06:41Z", "2026-11-23 03:06 UTC"),
        ("2026-11-23T03:06:41.123+00:00", "2026-11-23 03:06 UTC"),
        ("2026-11-23T03:06:41+02:00", "2026-11-23T03:06:41+02:00"),
        ("", ""),
    ],
)
def test_moments(time, words):
    assert moment(time) == words


def test_lists_and_numbers():
    assert plural(1, "node") == "1 node"
    assert plural(6120, "pod") == "6,120 pods"
    assert listed(["a", "b", "c"], 3) == "a, b, c"
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Pod shop/web-0", "Pod shop/web-0"),
        ("größer → 10.0.0.1 ✓", "größer → 10.0.0.1 ✓"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b2J", r"\x9b2J"),
        ("a\u202eb\u2066c\u200bd", r"a\u202eb\u2066c\u200bd"),
        ("one\ntwo\tthree", "one two three"),
        ("\x00\x07\x08\r", r"\x00\x07\x08"),
        ("\ufffe\U0001f600", "\\ufffe\U0001f600"),
        ("\udc80", r"\udc80"),
    ],
)
def test_unprintable_characters_are_shown_as_escapes(text, shown):
    assert harmless(text) == shown


def test_lines_keep_their_columns():
    assert harmless_lines("a\tb\n  c\x1b") == ["a       b", r"  c\x1b"]


def test_what_was_cut_off_is_counted():
    assert shortened("abcdef", 6) == "abcdef"
    assert shortened("abcdefgh", 6) == "abcdef… (2 more characters)"


@pytest.mark.parametrize(
    ("number", "most", "shown"),
    [
        (0, 3, []),
        (3, 3, ["0", "1", "2"]),
        (4, 3, ["0", "… 2 more lines …", "3"]),
        (9, 4, ["0", "… 6 more lines …", "7", "8"]),
        (9, 2, ["… 8 more lines …", "8"]),
        (9, 1, ["8"]),
        (9, 0, ["8"]),
    ],
)
def test_the_last_line_of_evidence_stays(number, most, shown):
    assert middle_cut([str(each) for each in range(number)], most) == shown


def test_a_long_line_keeps_both_ends():
    assert middle_shortened("abcdef", 6) == "abcdef"
    assert middle_shortened("abcdefgh", 4) == "ab… (4 more characters) …gh"
    assert middle_shortened("abcdefgh", 5) == "abc… (3 more characters) …gh"
