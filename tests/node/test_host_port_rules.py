"""Which rule translates which host port."""

from __future__ import annotations

import pytest

from wirecheck.api_index.host_ports import HostPort
from wirecheck.node.host_port_rules import PortMapping, mappings_in
from wirecheck.parse.iptables import parse_iptables_save

PORT = HostPort("tcp", "", 8088, "10.244.1.3", 80)
AT_ONE = HostPort("tcp", "172.31.0.10", 8088, "10.244.1.3", 80)
V6 = HostPort("tcp", "", 8088, "fd00::3", 80)


def mapping(
    protocol: str = "tcp", address: str = "", port: int = 8088, target: str = "10.244.1.3:80"
) -> PortMapping:
    return PortMapping(protocol, address, port, target, "-A CNI-DN-1", "CNI-HOSTPORT-DNAT")


@pytest.mark.parametrize("port", [PORT, AT_ONE])
def test_a_rule_for_all_addresses_is_for_each(port: HostPort):
    assert mapping().matches(port)


@pytest.mark.parametrize(
    ("address", "port", "is_matched"),
    [
        ("172.31.0.10", AT_ONE, True),
        ("172.31.0.11", AT_ONE, False),
        ("172.31.0.10", PORT, False),
    ],
)
def test_a_rule_for_one_address_is_for_that_one_alone(
    address: str, port: HostPort, is_matched: bool
):
    assert mapping(address=address).matches(port) is is_matched


@pytest.mark.parametrize(
    ("found", "port"),
    [
        (mapping(protocol="udp"), PORT),
        (mapping(port=8089), PORT),
        (mapping(target="[fd00::3]:80"), PORT),
        (mapping(), V6),
    ],
)
def test_protocol_port_and_family_must_be_the_same(found: PortMapping, port: HostPort):
    assert not found.matches(port)


def rules(*lines: str, hooks: tuple[str, ...] = ("-A PREROUTING -j CNI-HOSTPORT-DNAT",)) -> str:
    """Table nat of iptables-save."""
    every = [*hooks, *lines]
    names = dict.fromkeys(line.split()[1] for line in every)
    targets = dict.fromkeys(line.rsplit("-j ", 1)[1].split()[0] for line in every)
    chains = [each for each in {**names, **targets} if each not in NOT_CHAINS]
    declared = "".join(f":{each} - [0:0]\n" for each in chains if each != "PREROUTING")
    text = "".join(f"{line}\n" for line in every)
    end = "COMMIT\n# Completed on Mon Nov 23 02:36:05 2026\n"
    return f"*nat\n:PREROUTING ACCEPT [0:0]\n{declared}{text}{end}"


NOT_CHAINS = {"DNAT", "RETURN", "ACCEPT", "MASQUERADE"}
PORTMAP = "CNI-HOSTPORT-DNAT"
TO_POD = "-p tcp -m tcp --dport 8088 -j DNAT --to-destination 10.244.1.3:80"


def found(text: str) -> list[tuple[str, str, int, str, str]]:
    return [
        (each.protocol, each.host_address, each.port, each.target, each.chain)
        for each in mappings_in(parse_iptables_save(text))
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"-A {PORTMAP} {TO_POD}", ("tcp", "", 8088, "10.244.1.3:80", PORTMAP)),
        (
            f"-A {PORTMAP} -d 172.31.0.10/32 {TO_POD}",
            ("tcp", "172.31.0.10", 8088, "10.244.1.3:80", PORTMAP),
        ),
        (
            f"-A {PORTMAP} {TO_POD.replace('10.244.1.3', '[fd00:0::3]')}",
            ("tcp", "", 8088, "[fd00::3]:80", PORTMAP),
        ),
        (f"-A {PORTMAP} ! -i docker0 {TO_POD}", ("tcp", "", 8088, "10.244.1.3:80", PORTMAP)),
        (f"-A {PORTMAP} ! -d 172.31.0.10/32 {TO_POD}", None),
        (f"-A {PORTMAP} {TO_POD.replace('--dport 8088', '--dport 80:90')}", None),
        (f"-A {PORTMAP} {TO_POD.replace(':80', '')}", None),
        (f"-A {PORTMAP} {TO_POD.replace(':80', ':80-90')}", None),
        (f"-A {PORTMAP} {TO_POD.replace('10.244.1.3', '')}", None),
        (f"-A {PORTMAP} {TO_POD.replace('10.244.1.3', 'name')}", None),
        (f"-A {PORTMAP} -p tcp -m tcp --dport 8088 -j ACCEPT", None),
    ],
)
def test_a_translation_of_one_port_is_a_mapping(
    line: str, expected: tuple[str, str, int, str, str] | None
):
    assert found(rules(line)) == ([expected] if expected else [])


def test_conditions_of_jumps_hold_for_what_is_below():
    text = rules(
        f"-A {PORTMAP} -d 172.31.0.10/32 -p tcp -m tcp --dport 8088 -j CNI-DN-1",
        "-A CNI-DN-1 -j DNAT --to-destination 10.244.1.3:80",
        f"-A {PORTMAP} ! -d 172.31.0.11/32 -p tcp -m tcp --dport 8089 -j CNI-DN-2",
        "-A CNI-DN-2 -p tcp -m tcp --dport 8089 -j DNAT --to-destination 10.244.1.4:80",
    )

    assert found(text) == [("tcp", "172.31.0.10", 8088, "10.244.1.3:80", PORTMAP)]


def test_the_writer_whose_chain_is_called_first_comes_first():
    lines = [f"-A {chain} {TO_POD}" for chain in ("KUBE-HOSTPORTS", PORTMAP, "DOCKER")]
    hooks = tuple(f"-A PREROUTING -j {chain}" for chain in ("DOCKER", "KUBE-HOSTPORTS"))

    chains = [chain for *_, chain in found(rules(*lines, hooks=hooks))]
    assert chains == ["DOCKER", "KUBE-HOSTPORTS", PORTMAP]


def test_other_programs_are_followed_and_kubernetes_is_not():
    text = rules(
        "-A PREROUTING -j KUBE-SERVICES",
        f"-A KUBE-SERVICES {TO_POD}",
        f"-A MINE {TO_POD}",
        hooks=("-A PREROUTING -j MINE",),
    )

    assert found(text) == [("tcp", "", 8088, "10.244.1.3:80", "")]


@pytest.mark.parametrize(("jumps", "is_followed"), [(4, True), (5, False)])
def test_so_many_jumps_are_followed(jumps: int, is_followed: bool):
    below = [f"-A MINE-{n} -j MINE-{n + 1}" for n in range(1, jumps)]
    text = rules(*below, f"-A MINE-{jumps} {TO_POD}", hooks=("-A PREROUTING -j MINE-1",))

    assert bool(found(text)) is is_followed


def test_rules_that_call_each_other_in_a_circle_end():
    text = rules("-A A1 -j B1", "-A B1 -j A1", f"-A B1 {TO_POD}", hooks=("-A PREROUTING -j A1",))

    assert set(found(text)) == {("tcp", "", 8088, "10.244.1.3:80", "")}
