"""Sets of ports, compared with sets of Python's own."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from wirecheck.policy.ports import ALL_PORTS, LAST, NO_PORTS, PROTOCOLS, PortSet

EDGES = st.one_of(st.integers(1, 8), st.integers(LAST - 4, LAST))
RANGES = st.lists(st.tuples(st.sampled_from(PROTOCOLS), EDGES, EDGES), max_size=6)
SAMPLE = [(p, n) for p in PROTOCOLS for n in (*range(1, 10), *range(LAST - 5, LAST + 1))]


def members(ports: PortSet) -> set[tuple[str, int]]:
    return {each for each in SAMPLE if ports.has(*each)}


@settings(max_examples=20, deadline=None)
@given(RANGES, RANGES)
def test_operations_are_those_of_sets(one, other):
    a, b = PortSet.of(one), PortSet.of(other)

    assert members(a) == {
        (p, n) for p, n in SAMPLE if any(k == p and f <= n <= t for k, f, t in one)
    }
    assert members(a | b) == members(a) | members(b)
    assert members(a & b) == members(a) & members(b)
    assert members(a - b) == members(a) - members(b)
    assert members(a.complement) == set(SAMPLE) - members(a)
    assert (a | a.complement) == ALL_PORTS
    assert (a & a.complement) == NO_PORTS
    assert bool(a) == bool(members(a))


def test_equal_sets_are_equal_and_have_one_text():
    ports = PortSet.of([("TCP", 443, 443), ("TCP", 80, 81), ("UDP", 53, 53), ("TCP", 82, 90)])

    assert ports == PortSet.of([("UDP", 53, 53), ("TCP", 80, 90), ("TCP", 443, 443)])
    assert str(ports) == "TCP 80-90, 443; UDP 53"
    assert str(ALL_PORTS) == "all ports"
    assert str(NO_PORTS) == "none"
    assert str(PortSet.of([("TCP", 1, LAST)])) == "all TCP ports"
