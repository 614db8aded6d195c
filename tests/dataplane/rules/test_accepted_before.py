"""A rule that accepts connections is the cause only if a later one of its chain handles them."""

from __future__ import annotations

import pytest

from tests.dataplane.small import NAT, WEB_TABLE, clients, differences, expected, save, service
from wirecheck.dataplane.compare.comparison import compare
from wirecheck.dataplane.compare.differences import ACCEPTED_BEFORE, Difference, Kind
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.table import Client, ServiceTable

REJECT = (
    "-A KUBE-SERVICES -d 10.96.0.20/32 -p tcp -m tcp --dport 80 -j REJECT --reject-with "
    "icmp-port-unreachable\n"
)
OF_ANOTHER = REJECT.replace("10.96.0.20", "10.96.0.21")
HOOKS = "-A FORWARD -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n-A INPUT -j KUBE-SERVICES\n"
FLANNEL = (
    "-A FORWARD -j FLANNEL-FWD\n"
    "-A FLANNEL-FWD -s 10.244.0.0/16 -j ACCEPT\n"
    "-A FLANNEL-FWD -d 10.244.0.0/16 -j ACCEPT\n"
)


def without_endpoints(filter_rules: str) -> list[Difference]:
    """What is found on a node with these rules, where `web` has no endpoints."""
    wanted = expected([service()], [])
    nat = "\n".join(each for each in NAT.splitlines() if "WEB" not in each and "SEP" not in each)
    last = "-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j RETURN\n"
    text = save({"nat": f"{nat}\n{last}", "filter": filter_rules})
    return list(compare(wanted, read_iptables({4: text}, clients(), wanted.entries)))


def test_a_rejected_service_has_no_difference():
    assert not without_endpoints(HOOKS + REJECT + FLANNEL)


@pytest.mark.parametrize(
    ("forwarded", "own"),
    [
        ("-j ACCEPT", "-j ACCEPT"),
        ("-p tcp -j ACCEPT", "-m state --state NEW,RELATED,ESTABLISHED -j ACCEPT"),
        ("-d 10.96.0.0/12 -j ACCEPT", "-s 172.31.0.10/32 -j ACCEPT"),
        ("-m conntrack --ctstate NEW -j ACCEPT", "-p tcp -m tcp --dport 80 -j ACCEPT"),
    ],
)
def test_rules_that_accept_every_client_are_the_cause(forwarded: str, own: str):
    first = f"-A FORWARD {forwarded}\n-A OUTPUT {own}\n"
    found = without_endpoints(first + HOOKS + REJECT + FLANNEL)

    assert {each.found for each in found} == {ACCEPTED_BEFORE}
    assert all(each.kind is Kind.VERDICT and each.third_party for each in found)
    by_client = {client: each.evidence for each in found for client in each.clients}
    assert by_client[Client.NODE] == (f"-A OUTPUT {own}",)
    assert by_client[Client.OUTSIDE] == by_client[Client.POD] == (f"-A FORWARD {forwarded}",)


@pytest.mark.parametrize("rules", [HOOKS + OF_ANOTHER + FLANNEL, REJECT + FLANNEL, FLANNEL])
def test_a_missing_rule_is_not_blamed_on_the_rules_that_accept(rules: str):
    found = without_endpoints("-A OUTPUT -j ACCEPT\n" + rules)
    (missing,) = [each for each in found if each.frontend.address == "10.96.0.20"]

    assert missing.kind is Kind.FRONTEND_MISSING
    assert not missing.third_party
    assert missing.evidence == ()


@pytest.mark.parametrize("target", ["ACCEPT", "RETURN"])
def test_of_an_accepted_service_the_rule_before_its_own_is_shown(target: str):
    """In a base chain RETURN leaves the packet to the chain's policy."""
    nat = NAT.replace("-A PREROUTING", f"-A PREROUTING -j {target}\n-A PREROUTING", 1)
    nat = nat.replace("-A OUTPUT", f"-A OUTPUT -j {target}\n-A OUTPUT", 1)
    found = list(differences({"nat": nat, "filter": FLANNEL}))

    assert {(each.kind, each.found) for each in found} == {(Kind.VERDICT, "not handled")}
    assert {each.evidence for each in found} == {
        (f"-A PREROUTING -j {target}",),
        (f"-A OUTPUT -j {target}",),
    }
    assert all(each.third_party for each in found)


def test_a_return_behind_a_jump_leaves_the_rest_of_the_base_chain():
    nat = NAT.replace("-A PREROUTING", "-A PREROUTING -j OTHER\n-A PREROUTING", 1)

    assert not differences({"nat": f"{nat}\n-A OTHER -j RETURN", "filter": FLANNEL}).items


def test_what_no_service_has_is_not_stale_because_it_is_accepted():
    nat = NAT.replace("-A PREROUTING", "-A PREROUTING -j ACCEPT\n-A PREROUTING", 1)
    nat = nat.replace("-A OUTPUT", "-A OUTPUT -j ACCEPT\n-A OUTPUT", 1)
    read = read_iptables({4: save({"nat": nat})}, clients(), expected(*WEB_TABLE).entries)

    assert read.entries
    assert not list(compare(ServiceTable(), read))
