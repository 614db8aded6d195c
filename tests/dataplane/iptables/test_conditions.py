"""Conditions of iptables rules that are damaged are not understood, and break nothing."""

from __future__ import annotations

import pytest

from wirecheck.dataplane.iptables.conditions import Conditions
from wirecheck.parse.iptables import Option


@pytest.mark.parametrize(
    ("module", "name", "values"),
    [
        ("", "-s", ()),
        ("", "-s", ("10.0.0.0/99",)),
        ("", "-d", ()),
        ("", "-d", ("node-1",)),
        ("tcp", "--dport", ("http",)),
        ("tcp", "--dport", ()),
        ("geoip", "--src-cc", ("DE",)),
    ],
)
def test_what_cannot_be_read_is_not_understood(module: str, name: str, values: tuple[str, ...]):
    assert not Conditions().add(Option(name, values, negated=False, module=module))


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [("", "-s", "10.0.0.0/8"), ("", "-d", "10.96.0.1/32"), ("tcp", "--dport", "80")],
)
def test_the_same_conditions_undamaged(module: str, name: str, value: str):
    assert Conditions().add(Option(name, (value,), negated=False, module=module))


@pytest.mark.parametrize("protocol", ["all", "0"])
@pytest.mark.parametrize("negated", [False, True])
def test_every_protocol_matches_all_packets_and_its_negation_is_not_understood(
    protocol: str, negated: bool
):
    assert Conditions().add(Option("-p", (protocol,), negated=negated, module="")) is not negated
