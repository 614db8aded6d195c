"""Every recorded kube-proxy did what the API asked for, and every change to its rules is seen."""

import random
import re

import pytest

from tests.dataplane import recorded
from wirecheck.api_index.backend import Backend
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import Kind
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.table import Client, Frontend, Masquerade, Verdict
from wirecheck.parse.errors import ParseError

TEXT = recorded.iptables("1.35.4")
DNS = Frontend(4, "10.96.0.10", "udp", 53)
WEB = Frontend(4, "10.96.61.159", "tcp", 80)
WEB_NODE_PORT = Frontend(4, "", "tcp", 30787)
LOCAL_NODE_PORT = Frontend(4, "", "tcp", 31008)
EMPTY = Frontend(4, "10.96.158.149", "tcp", 80)


@pytest.mark.parametrize("version", recorded.VERSIONS)
def test_a_healthy_node_has_no_difference(version: str) -> None:
    wanted = recorded.expected(version)
    read = read_iptables(
        {4: recorded.iptables(version)}, recorded.clients(version), also=wanted.entries
    )
    differences = compare(wanted, read)
    assert not differences.items
    assert differences.compared == 9
    assert set(read.entries) == set(wanted.entries)


def test_what_is_read_of_the_recorded_services() -> None:
    read = read_iptables({4: TEXT}, recorded.clients("1.35.4"))
    dns = read.handling(DNS, Client.POD)
    assert dns.backends == (Backend("10.244.0.2", 53), Backend("10.244.0.3", 53))
    assert dns.shares == (0.5, 0.5)
    assert dns.masquerade is Masquerade.NEVER
    assert dns.hairpin == set(dns.backends)
    assert read.handling(DNS, Client.OUTSIDE).masquerade is Masquerade.ALWAYS
    assert read.handling(WEB_NODE_PORT, Client.OUTSIDE).shares == (1 / 6,) * 6
    assert read.handling(EMPTY, Client.NODE).verdict is Verdict.REJECT
    assert read.handling(LOCAL_NODE_PORT, Client.OUTSIDE).verdict is Verdict.DROP
    local = read.handling(LOCAL_NODE_PORT, Client.NODE)
    assert (local.affinity, local.masquerade) == ((10800,), Masquerade.ALWAYS)


def test_a_reading_has_its_evidence() -> None:
    read = read_iptables({4: TEXT}, recorded.clients("1.35.4"))
    handling = read.handling(DNS, Client.POD)
    _, service, endpoint = handling.lines_to(handling.backends[0])
    assert service.startswith("-A KUBE-SVC-TCOU7JCQXEZGVUNU ")
    assert endpoint.endswith("--to-destination 10.244.0.2:53")


RULES = [line for line in TEXT.split("\n") if line.startswith("-A ")]

HARMLESS = (
    # Guards against other things than the wrong handling of Services.
    "-A KUBE-FIREWALL ",
    "-A INPUT -j KUBE-FIREWALL",
    "-A OUTPUT -j KUBE-FIREWALL",
    "-A KUBE-FORWARD ",
    '-A FORWARD -m comment --comment "kubernetes forwarding rules"',
    # Chains that are empty here.
    "KUBE-PROXY-FIREWALL",
    # Beside the rule for all addresses there is one that counts those to loopback.
    "--nfacct-name",
    # Takes the mark away again: what else sees it is not the Service's business.
    "--set-xmark 0x4000/0x0",
    # Where no endpoint is on this node, a pod of this node cannot be one.
    *(f"-s {address}/32" for address in re.findall(r"-s (10\.244\.\d+\.\d+|172\.\S+)/32", TEXT)),
)


def is_harmless(rule: str) -> bool:
    health_checks = '-A INPUT -m comment --comment "kubernetes health check service ports"'
    external_from_forward = (
        '-A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible'
    )
    return any(part in rule for part in HARMLESS) or rule.startswith(
        (health_checks, external_from_forward)
    )


@pytest.mark.parametrize("rule", [rule for rule in RULES if not is_harmless(rule)])
def test_a_deleted_rule_is_seen(rule: str) -> None:
    assert recorded.iptables_differences(TEXT.replace(rule + "\n", "", 1))


@pytest.mark.parametrize("rule", [rule for rule in RULES if is_harmless(rule)])
def test_a_rule_without_part_in_services_may_be_missing(rule: str) -> None:
    assert not recorded.iptables_differences(TEXT.replace(rule + "\n", "", 1))


@pytest.mark.parametrize("rule", [rule for rule in RULES if "-j DNAT" in rule])
def test_a_redirected_backend_is_stale_and_the_right_one_missing(rule: str) -> None:
    backend = rule.rpartition(" ")[2]
    wrong = rule.replace(f"--to-destination {backend}", "--to-destination 10.244.9.9:8080")
    found = recorded.iptables_differences(TEXT.replace(rule, wrong))
    kinds = {each.kind for each in found}
    assert kinds >= {Kind.BACKEND_MISSING, Kind.BACKEND_STALE}
    stale = [each for each in found if each.kind is Kind.BACKEND_STALE]
    assert {each.backend for each in stale} == {Backend("10.244.9.9", 8080)}
    assert all(wrong in each.evidence for each in stale)
    missing = [each for each in found if each.kind is Kind.BACKEND_MISSING]
    assert {str(each.backend) for each in missing} == {backend}


@pytest.mark.parametrize("rule", [rule for rule in RULES if "--probability" in rule])
def test_a_changed_probability_is_skewed(rule: str) -> None:
    wrong = re.sub(r"--probability 0\.\d", "--probability 0.9", rule)
    found = recorded.iptables_differences(TEXT.replace(rule, wrong))
    assert {each.kind for each in found} == {Kind.WEIGHTS}


def test_rounding_of_probabilities_is_no_skew() -> None:
    assert not recorded.iptables_differences(TEXT.replace("0.33333333349", "0.33333000000"))


@pytest.mark.parametrize(
    ("shadow", "kinds"),
    [
        ("-d 10.96.0.10/32 -j ACCEPT", {Kind.VERDICT}),
        ("-p udp -m udp --dport 53 -j ACCEPT", {Kind.VERDICT}),
        ("-d 10.96.0.0/12 -p udp -j RETURN", {Kind.VERDICT}),
        (
            "-d 10.96.0.10/32 -p udp -m udp --dport 53 -j DNAT --to-destination 9.9.9.9:53",
            {Kind.BACKEND_MISSING, Kind.BACKEND_STALE, Kind.MASQUERADE},
        ),
        ("-s 10.244.5.0/24 -d 10.96.0.10/32 -p udp -j ACCEPT", {Kind.VERDICT}),
        ("-s 10.244.5.7/32 -d 10.96.0.10/32 -p udp -j ACCEPT", {Kind.VERDICT}),
        ("-d 10.96.0.10/32 -p udp -m time --weekdays Mon -j ACCEPT", {Kind.RULE_UNKNOWN}),
        ("-d 10.96.0.10/32 -p udp -m socket -j ACCEPT", {Kind.RULE_UNKNOWN}),
        ("-d 10.96.0.10/32 -p udp -j NEWTARGET --with 1", {Kind.RULE_UNKNOWN}),
        (
            "-d 10.96.0.10/32 -p udp -j REDIRECT --to-ports 5353",
            {Kind.BACKEND_MISSING, Kind.BACKEND_STALE, Kind.MASQUERADE},
        ),
        ("-d 10.96.0.10/32 -p udp -j REDIRECT --to-ports 5353-5355", {Kind.RULE_UNKNOWN}),
        ("-d 10.96.0.10/32 -p udp -j NFQUEUE --queue-num 0 --queue-bypass", {Kind.RULE_UNKNOWN}),
        ("-d 10.96.0.10/32 -p udp -j DNAT --to-destination 1.2.3.4-1.2.3.9", {Kind.RULE_UNKNOWN}),
        ("-d 10.96.0.10/32 -p udp -j LOG --log-prefix x", set()),
        ("-d 10.96.0.10/32 -p udp -m time --weekdays Mon -j LOG", set()),
        ("-d 10.96.0.11/32 -p udp -j ACCEPT", set()),
        ("! -d 10.96.0.0/16 -j ACCEPT", {Kind.VERDICT}),
        ("-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", set()),
        ("-p udp -m multiport --dports 5353,53 -j ACCEPT", {Kind.VERDICT}),
        ("-p udp -m udp --dport 50:60 -j ACCEPT", {Kind.VERDICT}),
        ("-p udp -m udp --sport 53 -j ACCEPT", set()),
        ("-p udp -m multiport --sports 53,123,500 -j ACCEPT", set()),
        ("-d 10.96.0.10/32 -p udp -m udp --sport 1024:65535 -j ACCEPT", {Kind.VERDICT}),
        ("-d 10.96.0.10/32 -p udp -m udp ! --sport 53 -j ACCEPT", {Kind.VERDICT}),
        ("-d 10.96.0.10/32 -p udp -m udp --sport 5353 -j ACCEPT", {Kind.RULE_UNKNOWN}),
        ("-i docker0 -d 10.96.0.10/32 -j ACCEPT", {Kind.RULE_UNKNOWN}),
        ("-i lo -j ACCEPT", set()),
    ],
)
def test_a_shadowing_rule_before_the_services(shadow: str, kinds: set[Kind]) -> None:
    rules = "".join(f"-A {hook} {shadow}\n" for hook in ("PREROUTING", "OUTPUT"))
    hook = '-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\n'
    found = recorded.iptables_differences(TEXT.replace(hook, rules + hook))
    # Seen by arriving packets only: OUTPUT's own hook comes later in the text as well.
    assert {each.kind for each in found} == kinds, found
    if "10.96.0.10" in shadow:
        assert all(each.frontend.address == "10.96.0.10" for each in found)


@pytest.mark.parametrize("end", ["DROP", "REJECT --reject-with icmp-port-unreachable"])
def test_a_network_policy_for_one_pod_is_no_difference(end: str) -> None:
    """CNI plugins end what the pod sends before kube-proxy refuses what has no endpoints."""
    policy = f"-A FORWARD -s 10.244.5.7/32 -j {end}\n-A FORWARD "
    assert "-j REJECT" in TEXT

    assert not recorded.iptables_differences(TEXT.replace("-A FORWARD ", policy, 1))


def test_a_hook_that_is_gone_concerns_only_those_who_pass_it() -> None:
    hook = '-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES\n'
    found = recorded.iptables_differences(TEXT.replace(hook, ""))
    assert {each.clients for each in found} == {(Client.NODE,)}
    assert {each.kind for each in found} == {Kind.VERDICT}


def test_rules_in_another_order_are_the_same_where_order_does_not_matter() -> None:
    block = [rule for rule in RULES if rule.startswith("-A KUBE-SERVICES ") and "-d 10." in rule]
    shuffled = block[:]
    random.Random(1).shuffle(shuffled)
    text = TEXT
    for old in block:
        text = text.replace(old + "\n", "", 1)
    for table in ("filter", "nat"):
        own = "".join(
            f"{rule}\n" for rule in shuffled if ("-j KUBE-SVC" in rule) == (table == "nat")
        )
        head, body = text.split(f"*{table}\n")
        text = (
            head + f"*{table}\n" + body.replace("-A KUBE-SERVICES ", own + "-A KUBE-SERVICES ", 1)
        )
        if "-A KUBE-SERVICES " not in body.split("COMMIT")[0]:
            text = head + f"*{table}\n" + body.replace("COMMIT", own + "COMMIT", 1)
    assert not recorded.iptables_differences(text)


def test_node_ports_before_their_services_are_cut_off() -> None:
    last = next(rule for rule in RULES if "this must be the last rule" in rule)
    text = TEXT.replace(last + "\n", "")
    found = recorded.iptables_differences(text)
    assert {each.frontend for each in found} == {WEB_NODE_PORT, LOCAL_NODE_PORT}


def test_a_text_that_is_cut_is_refused() -> None:
    for length in range(1000, len(TEXT) - 80, 997):
        try:
            found = recorded.iptables_differences(TEXT[:length])
        except ParseError:
            continue
        assert len(found) >= 9


def test_a_node_without_any_rule_lacks_every_frontend() -> None:
    found = recorded.iptables_differences("")
    assert {each.kind for each in found} == {Kind.FRONTEND_MISSING}
    assert len({each.frontend for each in found}) == 9
