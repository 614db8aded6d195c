"""Reasons why an edit of iptables rules does no harm, and what looks like them and does."""

from pathlib import Path

import pytest

from testbed.referee import record
from testbed.referee.harmless_iptables import why_harmless
from testbed.referee.mutation import Edit, NodeFacts, with_text

SIGHTS = Path(__file__).parents[2] / "recorded/random-services/sights"
HERE = frozenset({"172.31.0.10", "127.0.0.1"})
FACTS = NodeFacts(HERE, frozenset({"172.31.0.10"}), frozenset({"10.244.1.2"}))

NAT = """*nat
:PREROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-EXT-A - [0:0]
:KUBE-EXT-B - [0:0]
:KUBE-EXT-C - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-MARK-MASQ - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A KUBE-SERVICES -d 198.19.0.1/32 -p tcp -m comment --comment "r/a" -m tcp --dport 80 -j KUBE-EXT-A
-A KUBE-SERVICES -d 198.19.0.1/32 -p tcp -m comment --comment "r/b" -m tcp --dport 80 -j KUBE-EXT-B
-A KUBE-SERVICES -d 198.19.0.3/32 -p tcp -m comment --comment "r/c" -m tcp --dport 80 -j KUBE-EXT-C
-A KUBE-EXT-A -j KUBE-SEP-A
-A KUBE-EXT-B -j KUBE-SEP-A
-A KUBE-EXT-C -j KUBE-MARK-MASQ
-A KUBE-EXT-C -j KUBE-SEP-A
-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.1.2:8080
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
COMMIT
"""


def changed(text: str, kind: str, line: str, after: str) -> Edit:
    assert line in text
    return Edit(kind, line, after, text.replace(f"{line}\n", f"{after}\n" if after else "", 1))


def rule(text: str, part: str) -> str:
    return next(each for each in text.splitlines() if part in each and each.startswith("-A"))


@pytest.mark.parametrize(("chain", "harmless"), [("KUBE-EXT-B", True), ("KUBE-EXT-C", False)])
def test_another_chain_must_do_the_same_not_only_lead_there(chain: str, harmless: bool) -> None:
    line = rule(NAT, '"r/a"')
    edit = changed(NAT, "redirect", line, line.replace("KUBE-EXT-A", chain))
    assert bool(why_harmless(edit, NAT, FACTS)) is harmless


@pytest.mark.parametrize(("service", "harmless"), [('"r/a"', False), ('"r/b"', True)])
def test_of_two_services_with_one_address_the_first_rule_counts(
    service: str, harmless: bool
) -> None:
    line = rule(NAT, service)
    accept = f"{line.rpartition(' -j ')[0]} -j ACCEPT"
    edit = changed(NAT, "shadow", line, f"{accept}\n{line}")
    assert bool(why_harmless(edit, NAT, FACTS)) is harmless


@pytest.mark.parametrize(("service", "harmless"), [('"r/a"', True), ('"r/c"', False)])
def test_one_of_two_claims_may_go(service: str, harmless: bool) -> None:
    edit = changed(NAT, "delete", rule(NAT, service), "")
    assert bool(why_harmless(edit, NAT, FACTS)) is harmless


FILTER = """*filter
:INPUT ACCEPT [0:0]
:FORWARD {policy} [0:0]
:KUBE-FORWARD - [0:0]
:KUBE-PROXY-FIREWALL - [0:0]
-A INPUT -j KUBE-PROXY-FIREWALL
-A INPUT -j ACCEPT
-A FORWARD -j KUBE-FORWARD
{refuses}-A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT
-A KUBE-PROXY-FIREWALL -d {host}/32 -p tcp -m tcp --dport 80 -j DROP
COMMIT
"""


@pytest.mark.parametrize(
    ("policy", "refuses", "harmless"),
    [
        ("ACCEPT", "", True),
        ("DROP", "", False),
        ("ACCEPT", "-A FORWARD -j REJECT\n", False),
    ],
)
def test_leave_to_be_forwarded_is_needed_where_somebody_refuses(
    policy: str, refuses: str, harmless: bool
) -> None:
    text = FILTER.format(policy=policy, refuses=refuses, host="198.19.0.1")
    edit = changed(text, "delete", rule(text, "0x4000"), "")
    assert bool(why_harmless(edit, text, FACTS)) is harmless


def test_a_drop_before_that_leave_is_never_harmless() -> None:
    text = FILTER.format(policy="ACCEPT", refuses="", host="198.19.0.1")
    line = rule(text, "0x4000")
    edit = changed(text, "shadow", line, f"{line.replace('ACCEPT', 'DROP')}\n{line}")
    assert not why_harmless(edit, text, FACTS)


@pytest.mark.parametrize(("host", "harmless"), [("198.19.0.1", True), ("172.31.0.10", False)])
def test_what_comes_in_has_an_address_of_the_nodes(host: str, harmless: bool) -> None:
    text = FILTER.format(policy="ACCEPT", refuses="", host=host)
    edit = changed(text, "delete", "-A INPUT -j KUBE-PROXY-FIREWALL", "")
    assert bool(why_harmless(edit, text, FACTS)) is harmless
    # One that leads to no such rules has another meaning.
    assert not why_harmless(changed(text, "delete", "-A INPUT -j ACCEPT", ""), text, FACTS)


def test_a_copy_that_only_counts_may_go_and_not_lead_elsewhere() -> None:
    copy = (
        "-A KUBE-NODEPORTS -d 127.0.0.0/8 -p tcp -m tcp --dport 30001"
        " -m nfacct --nfacct-name  counted -j KUBE-EXT-A"
    )
    rules = f"{copy}\n-A KUBE-NODEPORTS -p tcp -m tcp --dport 30001 -j KUBE-EXT-A\n"
    lead = "-A PREROUTING -j KUBE-NODEPORTS\n-A PREROUTING -j KUBE-SERVICES\n"
    text = NAT.replace("-A PREROUTING -j KUBE-SERVICES\n", lead).replace(
        "-A KUBE-EXT-A -j", f"{rules}-A KUBE-EXT-A -j", 1
    )
    assert why_harmless(changed(text, "delete", copy, ""), text, FACTS)
    elsewhere = copy.replace("KUBE-EXT-A", "KUBE-EXT-C")
    assert not why_harmless(changed(text, "redirect", copy, elsewhere), text, FACTS)


@pytest.mark.parametrize(("protocol", "harmless"), [("udp", True), ("tcp", False)])
def test_a_chain_of_another_protocol_does_nothing(protocol: str, harmless: bool) -> None:
    other = (
        f"-A KUBE-SEP-D -p {protocol} -m {protocol} -j DNAT --to-destination 10.244.1.7:53\n"
        "-A KUBE-EXT-A -m addrtype --src-type LOCAL -j KUBE-SEP-A\n-A KUBE-EXT-A -j"
    )
    text = NAT.replace("-A KUBE-EXT-A -j", other, 1)
    line = rule(text, "--src-type LOCAL")
    edit = changed(text, "redirect", line, line.replace("KUBE-SEP-A", "KUBE-SEP-D"))
    assert bool(why_harmless(edit, text, FACTS)) is harmless


@pytest.mark.parametrize(("sources", "harmless"), [("172.31.0.0/16", True), ("10.0.0.0/8", False)])
def test_a_firewall_that_lets_the_node_in_need_not_be_asked_for_it(
    sources: str, harmless: bool
) -> None:
    place = "-d 198.19.0.9/32 -p tcp -m tcp --dport 80"
    guarded = (
        f"-A KUBE-SERVICES {place} -j KUBE-FW-A\n-A KUBE-FW-A -s {sources} -j KUBE-EXT-A\n"
        "-A KUBE-EXT-A -j"
    )
    text = NAT.replace("-A KUBE-EXT-A -j", guarded, 1) + (
        "*filter\n-A OUTPUT -j KUBE-PROXY-FIREWALL\n"
        f"-A KUBE-PROXY-FIREWALL {place} -j DROP\nCOMMIT\n"
    )
    edit = changed(text, "delete", "-A OUTPUT -j KUBE-PROXY-FIREWALL", "")
    assert bool(why_harmless(edit, text, FACTS)) is harmless


def test_a_drop_of_all_that_is_forwarded_is_the_firewalls_to_tell() -> None:
    sight = record.read(SIGHTS / "iptables-1.34.4-100.json.gz")
    text = sight.document.commands["iptables-nft-save"].output
    line = rule(text, "-j KUBE-FORWARD")
    bad = with_text(sight, "iptables-nft-save", text.replace(line, f"-A FORWARD -j DROP\n{line}"))
    uncalled = with_text(sight, "iptables-nft-save", text.replace(f"{line}\n", ""))
    assert not sight.complaints
    assert any("FORWARD -j DROP" in each for each in bad.complaints)
    assert any("KUBE-FORWARD" in each for each in uncalled.complaints)


@pytest.mark.parametrize(("follows", "harmless"), [("KUBE-SVL-A", True), ("KUBE-SVL-B", False)])
def test_an_only_rule_may_go_where_what_follows_its_callers_does_the_same(
    follows: str, harmless: bool
) -> None:
    rules = (
        "-A KUBE-EXT-A -s 10.244.0.0/16 -j KUBE-SVC-A\n"
        f"-A KUBE-EXT-A -j {follows}\n"
        "-A KUBE-SVC-A -j KUBE-SEP-A\n-A KUBE-SVL-A -j KUBE-SEP-A\n"
        "-A KUBE-SVL-B -p tcp -m tcp -j DNAT --to-destination 10.244.1.7:8080\n"
    )
    text = NAT.replace("-A KUBE-EXT-A -j KUBE-SEP-A\n", rules)
    edit = changed(text, "delete", "-A KUBE-SVC-A -j KUBE-SEP-A", "")
    assert bool(why_harmless(edit, text, FACTS)) is harmless


@pytest.mark.parametrize(("other", "harmless"), [("KUBE-SEP-A", True), ("KUBE-SEP-B", False)])
def test_the_rule_that_remembers_clients_of_an_only_endpoint_leads_nowhere_else(
    other: str, harmless: bool
) -> None:
    remembers = f"-A KUBE-{{}}-A -m recent --rcheck --seconds 600 --name {other} -j {other}\n"
    leads = "-A KUBE-{}-A -j KUBE-SEP-A\n"
    rules = "".join(part.format(chain) for chain in ("SVC", "SVL") for part in (remembers, leads))
    text = NAT.replace(
        "-A KUBE-EXT-A -j KUBE-SEP-A\n",
        "-A KUBE-EXT-A -s 10.244.0.0/16 -j KUBE-SVC-A\n-A KUBE-EXT-A -j KUBE-SVL-A\n"
        f"{rules}-A KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination 10.244.1.7:8080\n",
    )
    edit = changed(text, "delete", leads.format("SVC").rstrip(), "")
    assert bool(why_harmless(edit, text, FACTS)) is harmless


@pytest.mark.parametrize(
    ("taken", "led", "harmless"),
    [
        ("10.0.0.0/8", "10.244.0.0/16", True),
        ("10.245.0.0/16", "10.244.0.0/16", False),
        ("10.0.0.0/8", "10.244.1.7/32", False),
    ],
)
def test_what_a_rule_before_it_takes_never_meets_a_rule(
    taken: str, led: str, harmless: bool
) -> None:
    """The last: what is not led to the endpoint comes back, and meets the rule."""
    line = "-A KUBE-EXT-A -s 10.244.1.0/25 -j KUBE-EXT-B"
    text = NAT.replace(
        "-A KUBE-EXT-A -j KUBE-SEP-A\n", f"-A KUBE-EXT-A -s {taken} -j KUBE-EXT-B\n{line}\n"
    ).replace("-A KUBE-EXT-B -j", f"-A KUBE-EXT-B -s {led} -j")
    edit = changed(text, "shadow", line, f"{line.replace('KUBE-EXT-B', 'ACCEPT')}\n{line}")
    assert bool(why_harmless(edit, text, FACTS)) is harmless


@pytest.mark.parametrize(("led", "harmless"), [("10.244.0.0/16", True), ("192.0.2.0/25", False)])
def test_a_load_balancer_that_leads_none_whom_it_lets_in_need_not_be_asked(
    led: str, harmless: bool
) -> None:
    text = NAT.replace(
        "-A KUBE-EXT-C -j KUBE-MARK-MASQ\n-A KUBE-EXT-C -j KUBE-SEP-A\n",
        f"-A KUBE-EXT-C -s 192.0.2.0/24 -j KUBE-EXT-D\n-A KUBE-EXT-D -s {led} -j KUBE-SEP-A\n",
    )
    edit = changed(text, "delete", rule(text, "198.19.0.3/32"), "")
    assert bool(why_harmless(edit, text, FACTS)) is harmless


@pytest.mark.parametrize(("last", "harmless"), [("KUBE-SEP-A", True), ("KUBE-SEP-B", False)])
def test_what_a_chain_has_left_may_be_taken_by_what_follows_its_callers(
    last: str, harmless: bool
) -> None:
    share = "-A KUBE-SVC-A -m statistic --mode random --probability 0.5 -j KUBE-SEP-B\n"
    rules = (
        "-A KUBE-EXT-A -s 10.244.0.0/16 -j KUBE-SVC-A\n-A KUBE-EXT-A -j KUBE-SVL-A\n"
        f"{share}-A KUBE-SVC-A -j KUBE-SEP-A\n-A KUBE-SVL-A -j {last}\n"
        "-A KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination 10.244.1.7:8080\n"
    )
    text = NAT.replace("-A KUBE-EXT-A -j KUBE-SEP-A\n", rules)
    edit = changed(text, "delete", "-A KUBE-SVC-A -j KUBE-SEP-A", "")
    assert bool(why_harmless(edit, text, FACTS)) is harmless
    other = changed(text, "delete", share.rstrip(), "")
    assert not why_harmless(other, text, FACTS)


@pytest.mark.parametrize(("protocol", "harmless"), [("udp", True), ("tcp", False)])
def test_a_load_balancer_that_leads_nobody_may_call_another_chain_that_leads_none_of_them(
    protocol: str, harmless: bool
) -> None:
    text = NAT.replace(
        "-A KUBE-EXT-C -j KUBE-MARK-MASQ\n-A KUBE-EXT-C -j KUBE-SEP-A\n",
        "-A KUBE-EXT-C -s 192.0.2.0/24 -j KUBE-EXT-D\n"
        "-A KUBE-EXT-D -s 10.244.0.0/16 -j KUBE-SEP-A\n"
        "-A KUBE-EXT-E -j KUBE-SEP-B\n"
        f"-A KUBE-SEP-B -p {protocol} -m {protocol} -j DNAT --to-destination 10.244.1.7:8080\n",
    )
    line = "-A KUBE-EXT-C -s 192.0.2.0/24 -j KUBE-EXT-D"
    edit = changed(text, "redirect", line, line.replace("KUBE-EXT-D", "KUBE-EXT-E"))
    assert bool(why_harmless(edit, text, FACTS)) is harmless


@pytest.mark.parametrize(("port", "harmless"), [(80, True), (81, False)])
def test_what_the_firewall_drops_need_not_be_dropped_again(port: int, harmless: bool) -> None:
    text = (
        "*filter\n:FORWARD ACCEPT [0:0]\n"
        "-A FORWARD -j KUBE-PROXY-FIREWALL\n-A FORWARD -j KUBE-EXTERNAL-SERVICES\n"
        "-A KUBE-EXTERNAL-SERVICES -d 198.19.0.1/32 -p tcp -m tcp --dport 80 -j DROP\n"
        f"-A KUBE-PROXY-FIREWALL -d 198.19.0.1/32 -p tcp -m tcp --dport {port} -j DROP\nCOMMIT\n"
    )
    edit = changed(text, "delete", rule(text, "KUBE-EXTERNAL-SERVICES -d"), "")
    assert bool(why_harmless(edit, text, FACTS)) is harmless
