"""Pages have a bounded size, whatever is in them, and lose nothing."""

from __future__ import annotations

import json

import pytest

from tests.mcp.assembling import assembled
from wirecheck.mcp.cursors import Kept
from wirecheck.mcp.pages import LARGEST, ROOM, pages_of, size
from wirecheck.run.request import RequestError

DOCUMENTS = {
    "small": {"a": [1, None, True, "x"]},
    "many": {"items": [{"name": f"n{number}", "n": number} for number in range(20_000)]},
    "long text": {"a": {"b": ["x" * 500_000, "y"]}, "c": 1},
    "control characters": {"evidence": ["\x1b\x00" * 60_000, '"\\' * 60_000]},
    "other scripts": {"t": "\u202e\U0001f600é" * 40_000},
    "many members": {f"~key/{number}": "v" * 40 for number in range(5_000)},
    "nested": {"a": [[["z" * 100] * 2_000] * 2, {"b": ["q" * 70_000]}]},
    "list alone": ["w" * 200] * 1_000,
    "empty members": {"a": [], "b": {}, "c": "", "d": ["x" * 90_000, [], {}]},
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_pages_are_small_and_lose_nothing(name: str):
    document = DOCUMENTS[name]
    pages = pages_of(document)
    read = [json.loads(b"{" + page + b"}") for page in pages]

    assert all(size({"text": json.dumps(page)}) for page in read)
    assert all(
        len(json.dumps(page.decode(), ensure_ascii=False).encode()) <= ROOM + 64 for page in pages
    )
    assert assembled(read) == document


def test_a_key_without_end_is_cut():
    pages = pages_of({"k" * 200_000: "v" * 100, "other": ["w" * 70_000]})

    assert all(len(page) < LARGEST for page in pages)


def test_cursors_lead_from_page_to_page():
    kept = Kept()
    pages = [b'"parts":[1]', b'"parts":[2]', b'"parts":[3]']
    first = json.loads(kept.first("run", pages))
    second = json.loads(kept.next("run", first["cursor"]))
    third = json.loads(kept.next("run", second["cursor"]))

    assert [each["parts"] for each in (first, second, third)] == [[1], [2], [3]]
    assert "cursor" not in third
    assert json.loads(kept.next("run", first["cursor"])) == second


@pytest.mark.parametrize(
    "cursor", ["", "x", "{}.1", "{}.9", "{}.-1", "{}.1\n", "{}.٣", "0" * 16 + ".1"]
)
def test_a_wrong_cursor_is_refused(cursor: str):
    kept = Kept()
    name = json.loads(kept.first("run", [b'"parts":[]'] * 3))["cursor"].partition(".")[0]
    cursor = cursor.format(name)

    with pytest.raises(RequestError, match="no such cursor"):
        kept.next("diff", cursor)
    if cursor != f"{name}.1":
        with pytest.raises(RequestError, match="no such cursor"):
            kept.next("run", cursor)


def test_the_oldest_result_goes_first(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("wirecheck.mcp.cursors.MOST_BYTES", 50)
    kept = Kept()
    old, new = (json.loads(kept.first("run", [b'"parts":[%d]' % n] * 3)) for n in (1, 2))

    assert json.loads(kept.next("run", new["cursor"]))["parts"] == [2]
    with pytest.raises(RequestError, match="no longer kept"):
        kept.next("run", old["cursor"])
