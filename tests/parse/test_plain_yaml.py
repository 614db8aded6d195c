"""YAML that was written to cost more than it has characters."""

from __future__ import annotations

import pytest

from wirecheck.parse.errors import ParseError
from wirecheck.parse.kubelet_settings import kubelet_dns
from wirecheck.parse.plain_yaml import DEEPEST, MOST_CHARACTERS, parse_yaml

LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        (
            "mode: ipvs\niptables:\n  masqueradeBit: 14\n",
            {"mode": "ipvs", "iptables": {"masqueradeBit": 14}},
        ),
        ("a: &unused 1\n", {"a": 1}),
        ("[" * DEEPEST + "]" * DEEPEST, None),
    ],
)
def test_plain_values(text: str, value: object) -> None:
    found = parse_yaml(text)
    assert found == value or text.startswith("[")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LAUGHS, "alias"),
        ("a: &a {b: *a}\n", "alias"),
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), "levels"),
        ("[" * 500_000, "levels"),
        ("- " * 50_000, "levels"),
        ("{a: " * 5_000, "levels"),
        ("1" + ":1" * 1000, "too long"),
        ("1" * 5000, "too long"),
        ("9" * 200 + ".5", "too long"),
        ("2026-99-99", "YAML"),
        ("!!timestamp x", "YAML"),
        ("!!int ''", "YAML"),
        ("!!bool x", "YAML"),
        ("!!float ''", "YAML"),
        ("!!binary é", "YAML"),
        ("!!python/object/apply:os.system [id]", "YAML"),
        ("? {a: b}\n: c", "YAML"),
        ("a: [", "YAML"),
        ("x" * (MOST_CHARACTERS + 1), "characters"),
    ],
)
def test_whatever_else_is_refused_in_a_sentence(text: str, why: str) -> None:
    with pytest.raises(ParseError, match=why) as raised:
        parse_yaml(text)
    assert len(str(raised.value)) < 500


@pytest.mark.parametrize(
    "lines",
    [
        LAUGHS.replace("a:", "clusterDNS:").splitlines(),
        ["clusterDNS: " + "[" * 90_000],
        ["clusterDNS: [" + "1, " * 90_000 + "]"],
        ["clusterDNS: {a: 1}"],
        ["- clusterDNS"],
    ],
)
def test_the_kubelets_lines_are_hostile(lines: list[str]) -> None:
    with pytest.raises(ParseError) as raised:
        kubelet_dns({}, lines)
    assert len(str(raised.value)) < 500
