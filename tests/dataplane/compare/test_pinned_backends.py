"""A third-party rule that forwards a Service's connections to some of its endpoints."""

from __future__ import annotations

import pytest

from tests.dataplane.small import NAT, WEB_TABLE, clients, expected, save
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Difference, Kind
from wirecheck.dataplane.compare.summary import summarised
from wirecheck.dataplane.iptables.reader import read_iptables

PIN = "-d 10.96.0.20/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination {}"


def found(nat: str) -> list[Difference]:
    wanted = expected(*WEB_TABLE)
    read = read_iptables({4: save({"nat": nat})}, clients(), wanted.entries)
    return list(summarised(wanted, compare(wanted, read)).single)


@pytest.mark.parametrize("target", ["10.244.1.2:8080", "10.244.2.3:8080", "10.244.1.2"])
def test_the_frontend_is_shadowed_whatever_else_differs(target: str) -> None:
    rules = [f"-A {hook} {PIN.format(target)}" for hook in ("PREROUTING", "OUTPUT")]
    differences = found("\n".join([*rules, NAT]))

    assert {each.kind for each in differences} == {Kind.SHADOWED}
    assert {each.evidence[-1] for each in differences} == set(rules)
    assert all(each.third_party for each in differences)


def test_a_missing_backend_of_kube_proxys_own_rules_is_missing() -> None:
    nat = NAT.replace("-A KUBE-SVC-WEB -j KUBE-SEP-B", "-A KUBE-SVC-WEB -j KUBE-SEP-A")
    differences = found(nat)

    assert Kind.BACKEND_MISSING in {each.kind for each in differences}
    assert not any(each.third_party for each in differences)
