"""Rules of nft as nft prints them."""

from __future__ import annotations

from typing import Any

import pytest

from wirecheck.dataplane.nftables.text import expression_text

DADDR = {"payload": {"protocol": "ip", "field": "daddr"}}


def match(op: str, right: Any, left: Any = DADDR) -> dict[str, Any]:
    return {"match": {"op": op, "left": left, "right": right}}


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        (match("==", "10.96.0.1"), "ip daddr 10.96.0.1"),
        (match("!=", "10.96.0.1"), "ip daddr != 10.96.0.1"),
        (match("in", "@ips"), "ip daddr @ips"),
        (match("==", {"prefix": {"addr": "10.0.0.0", "len": 8}}), "ip daddr 10.0.0.0/8"),
        (match("==", {"set": [1, 2, 3, 4]}), "ip daddr { 1, 2, 3, 4 }"),
        (match("==", {"set": [1, 2, 3, 4, 5, 6]}), "ip daddr { 1, 2, 3, 4, … 2 more }"),
        (
            match("==", 0x4000, {"&": [{"meta": {"key": "mark"}}, 0x4000]}),
            "meta mark & 0x4000 16384",
        ),
        (
            {"vmap": {"key": DADDR, "data": {"set": [["a", {"drop": None}]]}}},
            "ip daddr vmap { a : drop }",
        ),
        ({"counter": None}, "counter"),
        ({"jump": {"target": "services"}}, "jump services"),
        ({"dnat": {"addr": "10.244.1.2", "port": 80}}, "dnat to 10.244.1.2:80"),
        ({"dnat": {"addr": "10.244.1.2"}}, "dnat to 10.244.1.2"),
        ({"limit": {"rate": 5, "per": "second"}}, '{"limit": {"rate": 5, "per": "second"}}'),
        ({"payload": "damaged"}, '{"payload": "damaged"}'),
    ],
)
def test_an_expression(expression: dict[str, Any], text: str):
    assert expression_text(expression) == text
