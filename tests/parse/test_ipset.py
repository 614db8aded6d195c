"""`ipset save`, with the options of entries."""

from __future__ import annotations

from wirecheck.parse.ipset import parse_ipset_save


def test_an_entry_with_nomatch_is_an_exception():
    found = parse_ipset_save("create a hash:net\nadd a 10.0.0.0/8\nadd a 10.1.0.0/16 nomatch\n")[
        "a"
    ]
    assert (found.entries, found.excluded) == (["10.0.0.0/8"], ["10.1.0.0/16"])


def test_a_comment_may_say_anything():
    text = 'create a hash:net\nadd a 10.0.0.0/8 timeout 0 comment "do nomatch this"\n'
    assert parse_ipset_save(text)["a"].entries == ["10.0.0.0/8"]
