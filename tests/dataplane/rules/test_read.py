"""Where two chains have one priority, both orders are tried as far as that is possible."""

from __future__ import annotations

import pytest

from tests.dataplane.nftables.tables import DROP, SADDR, field, match, table_of
from tests.dataplane.small import NAT, WEB, clients, save
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.table import SAME_PRIORITY, Client, Handling, Verdict

ALL = match(SADDR, {"prefix": {"addr": "0.0.0.0", "len": 0}})
DADDR = field("ip", "daddr")


def web_with(*backends: str) -> str:
    """kube-proxy's rules for a Service with these backends."""
    lines = [
        "-A PREROUTING -j KUBE-SERVICES",
        "-A KUBE-SERVICES -d 10.96.0.20/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-WEB",
    ]
    for at, each in enumerate(backends):
        share = f"-m statistic --mode random --probability {1 / (len(backends) - at):.11f} "
        lines += [
            f"-A KUBE-SVC-WEB {share if at < len(backends) - 1 else ''}-j KUBE-SEP-{at}",
            f"-A KUBE-SEP-{at} -p tcp -m tcp -j DNAT --to-destination {each}",
        ]
    return "\n".join(lines)


def handling(rules: str, *rule: dict, kind: str = "filter", priority: int = -100) -> Handling:
    """How pods' connections end where an nftables table has the rule at this priority."""
    table = table_of(list(rule), priority=priority, type=kind)
    read = read_iptables({4: save({"nat": rules})}, clients(), {WEB: None}, tables=[table])
    return read.handling(WEB, Client.POD)


def is_of_unknown_order(found: Handling) -> bool:
    return (found.verdict, found.reason) == (Verdict.NOT_UNDERSTOOD, SAME_PRIORITY)


@pytest.mark.parametrize(("number", "is_unknown"), [(1, False), (8, False), (9, True)])
def test_a_drop_before_and_after_the_translation_does_not_depend_on_the_order(
    number: int, is_unknown: bool
):
    rules = web_with(*(f"10.244.1.{each + 2}:8080" for each in range(number)))

    found = handling(rules, ALL, DROP)

    assert is_of_unknown_order(found) is is_unknown
    assert found.verdict in (Verdict.DROP, Verdict.NOT_UNDERSTOOD)


def test_a_drop_of_the_service_alone_depends_on_the_order():
    assert is_of_unknown_order(handling(NAT, match(DADDR, WEB.address), DROP))
    both = match(DADDR, {"set": [WEB.address, "10.244.1.2", "10.244.2.3"]})
    assert handling(NAT, both, DROP).verdict is Verdict.DROP
    one = match(DADDR, {"set": [WEB.address, "10.244.1.2"]})
    assert is_of_unknown_order(handling(NAT, one, DROP))


def test_a_drop_of_the_backends_port_alone_is_not_met_before_the_translation():
    port = match(field("tcp", "dport"), 8080)

    assert handling(NAT, port, DROP).verdict is Verdict.FORWARD


def test_a_drop_of_another_priority_has_a_known_order():
    to_web = match(DADDR, WEB.address)

    assert handling(NAT, to_web, DROP, priority=-101).verdict is Verdict.DROP
    assert handling(NAT, to_web, DROP, priority=-99).verdict is Verdict.FORWARD


def test_another_translation_depends_on_the_order():
    dnat = {"dnat": {"addr": "10.244.0.9", "port": 9}}

    assert is_of_unknown_order(handling(NAT, match(DADDR, WEB.address), dnat, kind="nat"))
    earlier = handling(NAT, match(DADDR, WEB.address), dnat, kind="nat", priority=-101)
    assert [str(each) for each in earlier.backends] == ["10.244.0.9:9"]


def test_a_drop_of_other_sources_says_nothing_about_the_pods():
    others = match(SADDR, "203.0.113.9")

    assert handling(NAT, others, match(DADDR, WEB.address), DROP).verdict is Verdict.FORWARD
