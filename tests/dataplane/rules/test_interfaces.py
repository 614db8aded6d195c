"""Rules for interfaces: a packet comes in by one of them, and leaves by that of its route."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.dataplane.small import clients, save
from wirecheck.dataplane.iptables.reader import read_iptables
from wirecheck.dataplane.rules.sources import Regions
from wirecheck.dataplane.rules.steps import SourceTest
from wirecheck.dataplane.table import Client, Frontend, ServiceTable, Verdict

EMPTY = Frontend(4, "10.96.0.30", "tcp", 80)
REFUSAL = "-A KUBE-SERVICES -d 10.96.0.30/32 -p tcp -m tcp --dport 80 -j REJECT\n"


def read(
    rules: str, devices: list[str] | None = None, way_out: str = "eth0", raw: str = ""
) -> ServiceTable:
    """What a node with these rules in FORWARD does before kube-proxy's own."""
    here = clients()
    if devices is not None:
        here = replace(here, interfaces=frozenset(["eth0", *devices]), way_out=lambda _: way_out)
    own = f"{rules}\n-A FORWARD -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n{REFUSAL}"
    tables = {"raw": raw, "filter": own} if raw else {"filter": own}
    return read_iptables({4: save(tables)}, here, {EMPTY: None})


def dispatch(devices: list[str], prefix: str, end: str = "DROP") -> str:
    """A chain that sends the packets of each pod to a chain of its own, in both directions."""
    lines = [f"-A FORWARD -i {prefix}+ -j FROM-PODS", f"-A FORWARD -o {prefix}+ -j TO-PODS"]
    for each in devices:
        lines += [
            f"-A FROM-PODS -i {each} -g FROM-{each}",
            f"-A TO-PODS -o {each} -g TO-{each}",
            f"-A FROM-{each} -j MARK --set-xmark 0x10000/0x10000",
            f"-A TO-{each} -j DROP",
        ]
    return "\n".join([*lines, f"-A FROM-PODS -j {end}", f"-A TO-PODS -j {end}"])


def verdicts(table: ServiceTable) -> set[Verdict]:
    return {table.handling(EMPTY, each).verdict for each in Client}


@pytest.mark.parametrize(("prefix", "pods"), [("cali", 250), ("eni", 30), ("azv", 30), ("lxc", 30)])
def test_a_rule_for_each_of_many_pods_leaves_a_refusal_known(prefix, pods):
    devices = [f"{prefix}{at:08x}" for at in range(pods)]

    table = read(dispatch(devices, prefix), devices)
    assert verdicts(table) == {Verdict.REJECT}


def test_a_missing_refusal_is_seen_behind_rules_for_many_pods():
    devices = [f"cali{at:08x}" for at in range(60)]
    here = replace(clients(), interfaces=frozenset(["eth0", *devices]), way_out=lambda _: "eth0")
    text = save({"filter": f"{dispatch(devices, 'cali')}\n"})

    assert verdicts(read_iptables({4: text}, here, {EMPTY: None})) == {Verdict.NOTHING}


def test_rules_for_the_device_that_a_packet_leaves_by_count():
    """A Service's address is routed to the uplink, not to a pod."""
    rules = "-A FORWARD -o cali+ -j DROP\n-A FORWARD -o eth1 -j ACCEPT"

    assert verdicts(read(rules, ["cali1", "eth1"])) == {Verdict.REJECT}
    table = read(rules, ["cali1", "eth1"], way_out="cali1")
    assert table.handling(EMPTY, Client.POD).verdict is Verdict.DROP


def test_an_unknown_way_out_is_followed_both_ways():
    rules = "-A FORWARD -o eth1 -j DNAT-ALL\n-A DNAT-ALL -j QUEUE"

    table = read(rules, ["eth1"], way_out="")
    assert table.handling(EMPTY, Client.POD).verdict is Verdict.NOT_UNDERSTOOD


def test_interfaces_exclude_each_other():
    """No packet comes in by two interfaces, so no packet gets to the second chain."""
    rules = "\n".join(
        [
            "-A FORWARD -i cali1 -j FIRST",
            "-A FIRST -i cali2 -j SECOND",
            "-A SECOND -j QUEUE",
        ]
    )
    assert verdicts(read(rules, ["cali1", "cali2"])) == {Verdict.REJECT}
    assert Verdict.NOT_UNDERSTOOD in verdicts(read(rules))


def test_reverse_path_filtering_in_the_firewall_refuses_no_client():
    raw = "-A PREROUTING -i cali+ -m rpfilter --validmark --invert -j QUEUE"

    assert verdicts(read("", ["cali1"], raw=raw)) == {Verdict.REJECT}


def test_many_sets_leave_a_refusal_known_and_an_acceptance_unknown():
    sets = "\n".join(
        f"-A POLICY -m set --match-set set{at} dst -j MARK --set-xmark {1 << at:#x}/{1 << at:#x}"
        for at in range(12)
    )
    jump = "-A FORWARD -j POLICY"

    assert verdicts(read(f"{jump}\n{sets}", ["cali1"])) == {Verdict.REJECT}
    table = read(f"{jump}\n{sets}\n-A POLICY -m mark --mark 0xfff -j ACCEPT", ["cali1"])
    assert table.handling(EMPTY, Client.POD).verdict is Verdict.NOT_UNDERSTOOD


def test_regions_are_as_many_as_interfaces():
    here = replace(clients(), interfaces=frozenset(f"cali{at}" for at in range(40)))
    regions = Regions.of(4, here)
    tests = [SourceTest("interface", f"cali{at}", negated=False) for at in range(40)]

    finer = regions.split(*tests)
    kinds = len(regions.regions)
    # The node's own packets have no input interface.
    assert len(finer.regions) == 1 + (kinds - 1) * 41
    assert not finer.are_too_many
