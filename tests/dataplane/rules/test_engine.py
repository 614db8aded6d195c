"""The engine follows packets through chains that several base chains call."""

from __future__ import annotations

from tests.dataplane.small import NAT, WEB, clients, save
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.table import Client, Verdict


def test_a_rule_that_masquerades_before_the_routing_ends_the_chain_for_its_packets():
    """The kernel refuses such a rule, but a listing can be damaged."""
    first = "-A PREROUTING -j KUBE-SERVICES"
    rules = f"{first}\n-A KUBE-SERVICES -p tcp -j MASQUERADE\n{NAT.replace(first, '')}"

    read = read_iptables({4: save({"nat": rules})}, clients(), {WEB: None})

    for client in (Client.POD, Client.NODE):
        assert read.handling(WEB, client).verdict is Verdict.NOTHING
