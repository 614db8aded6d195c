"""Which entry of a policy map decides, as Cilium's programs look it up."""

from __future__ import annotations

import base64
import struct

import pytest
from msgspec.structs import replace

from tests.dataplane.ebpf.recorded_maps import maps_of
from wirecheck.dataplane.ebpf.policy_maps import (
    AskedPorts,
    Decided,
    PolicyMap,
    Port,
    policy_maps_of,
)
from wirecheck.parse.errors import ParseError
from wirecheck.snapshot.ebpf_maps import EbpfMap, EbpfMaps

WEB, AGENT, HOST, WORLD = 17193, 6895, 1, 2
RANGE, REMOTE_NODE = (1 << 24) + 2, (2 << 24) + 5
OTHER_CLUSTER = (3 << 16) + 900
ALLOW, DENY, PASS = 0xFFFFFF01, 0xFFFFFFFF, 0xFFFFFF00
TCP, UDP = 6, 17
NAME = "cilium_policy_v3_01722"


def entry(
    identity: int,
    protocol: int = 0,
    port: int = 0,
    bits: int | None = None,
    *,
    egress: bool = False,
    deny: bool = False,
    proxy: int = 0,
    auth: int = 0,
    precedence: int | None = None,
    order: str = "little",
) -> bytes:
    """One entry; `bits` of the port count, all unless given."""
    length = 0 if not protocol else 8 if not port else 8 + (16 if bits is None else bits)
    is_little = order == "little"
    first = 1 if is_little else 0x80
    precedence = precedence if precedence is not None else DENY if deny else ALLOW
    head = struct.pack("<II" if is_little else ">II", 40 + length, identity)
    way = struct.pack(">BBH", first if egress else 0, protocol, port)
    kind = auth if is_little else auth << 1
    rest = struct.pack(">HBB", proxy, (first if deny else 0) | (length << 3 & 0x78), kind)
    return head + way + rest + struct.pack("<II" if is_little else ">II", precedence, 0)


def map_of(*entries: bytes, order: str = "little") -> PolicyMap:
    data = base64.b64encode(b"".join(entries)).decode()
    found = EbpfMap(NAME, 11, 12, 12, 16384, len(entries), entries=data)
    return PolicyMap.of(found, order)


def everybody(**fields: object) -> tuple[bytes, ...]:
    """As Cilium 1.20 writes an entry for every identity."""
    return tuple(entry(identity, **fields) for identity in (0, 11, 12, 13, 14))  # type: ignore[arg-type]


def decided(
    of: PolicyMap, identity: int, port: tuple[str, int], *, egress: bool = False
) -> Decided:
    (found,) = of.decided(identity, AskedPorts((port,)), is_egress=egress)
    return found


def allows(of: PolicyMap, identity: int, port: Port, *, egress: bool = False) -> bool:
    found = decided(of, identity, port, egress=egress)
    assert not found.unknown
    return found.is_allowed


HTTP, DB = ("tcp", 80), ("tcp", 5432)


class TestRecorded:
    @pytest.fixture
    def db(self) -> PolicyMap:
        """Of shop/db-0, which pods of shop/web may reach."""
        document = maps_of("healthy", "td-w2")
        return PolicyMap.of(policy_maps_of(document)[1722], document.byte_order)

    def test_the_pods_of_a_policy_are_let_in(self, db: PolicyMap) -> None:
        assert allows(db, WEB, DB)
        assert not allows(db, WEB, HTTP)
        assert not allows(db, AGENT, DB)
        assert not allows(db, WORLD, DB)

    def test_the_host_is_let_in(self, db: PolicyMap) -> None:
        assert allows(db, HOST, HTTP)

    def test_a_direction_without_policies_is_open(self, db: PolicyMap) -> None:
        for identity in (WEB, HOST, WORLD, RANGE, REMOTE_NODE, OTHER_CLUSTER):
            assert allows(db, identity, HTTP, egress=True)

    def test_named_ports(self, db: PolicyMap) -> None:
        assert set(db.named_ports) == {DB}

    def test_an_entry_that_was_added_lets_everybody_in(self) -> None:
        document = maps_of("policy-too-open", "td-w2")
        found = PolicyMap.of(policy_maps_of(document)[1722], document.byte_order)
        assert allows(found, AGENT, HTTP)
        assert str(decided(found, AGENT, HTTP).entry) == (
            "ingress from any identity, any protocol and port: allow"
        )


class TestPrecedence:
    def test_a_denial_wins_over_what_allows(self) -> None:
        found = map_of(*everybody(deny=True), entry(WEB, TCP, 80))
        assert not allows(found, WEB, HTTP)
        found = map_of(*everybody(), entry(WEB, deny=True))
        assert not allows(found, WEB, HTTP)
        assert allows(found, AGENT, HTTP)

    def test_a_higher_tier_wins_over_a_denial(self) -> None:
        low = 0xFFFFF0FF
        found = map_of(*everybody(deny=True, precedence=low), entry(WEB, TCP, 80))
        assert allows(found, WEB, HTTP)
        assert not allows(found, WEB, DB)

    def test_of_one_identity_the_entry_for_fewer_ports_decides(self) -> None:
        found = map_of(entry(WEB), entry(WEB, TCP, 80, deny=True))
        assert not allows(found, WEB, HTTP)
        assert allows(found, WEB, DB)
        found = map_of(entry(WEB, TCP), entry(WEB, TCP, 64, bits=10, deny=True))
        assert [allows(found, WEB, ("tcp", n)) for n in (63, 64, 127, 128)] == [
            *(True, False, False, True)
        ]
        assert not allows(found, WEB, ("udp", 63))

    @pytest.mark.parametrize("identity", [WEB, OTHER_CLUSTER, RANGE, REMOTE_NODE, HOST, WORLD])
    def test_an_entry_for_every_identity(self, identity: int) -> None:
        found = map_of(*everybody(protocol=TCP, port=80))
        assert allows(found, identity, HTTP)
        assert not allows(found, identity, DB)

    @pytest.mark.parametrize(
        ("kind", "identity", "other"),
        [
            (11, WEB, OTHER_CLUSTER),
            (12, OTHER_CLUSTER, WEB),
            (13, RANGE, WEB),
            (14, REMOTE_NODE, WEB),
        ],
    )
    def test_an_entry_for_all_of_a_kind(self, kind: int, identity: int, other: int) -> None:
        found = map_of(entry(kind))
        assert allows(found, identity, HTTP)
        assert not allows(found, other, HTTP)

    def test_identity_0_counts_where_nothing_else_matches(self) -> None:
        """Without the entries beside it that the agent writes: nobody but its programs reads it."""
        found = map_of(entry(0), entry(14, egress=True), entry(WEB, TCP, 80, deny=True))
        assert allows(found, WEB, DB)
        assert not allows(found, WEB, HTTP)

    def test_versions_differ_in_whether_identity_0_is_compared(self) -> None:
        found = map_of(entry(0, deny=True), entry(WEB, TCP, 80))
        assert "versions of Cilium differ" in decided(found, WEB, HTTP).unknown
        assert not allows(found, HOST, HTTP)
        assert not allows(found, WEB, DB)

    def test_own_cluster(self) -> None:
        found = PolicyMap(NAME, map_of(entry(11)).entries, own_cluster=3)
        assert allows(found, OTHER_CLUSTER, HTTP)
        assert not allows(found, WEB, HTTP)

    def test_nothing_matches(self) -> None:
        empty = map_of()
        assert decided(empty, WEB, HTTP).entry is None
        assert not allows(empty, HOST, HTTP)


class TestUnknown:
    def test_a_proxy_decides(self) -> None:
        found = map_of(entry(WEB, TCP, 80, proxy=15001, precedence=0xFFFFFF80))
        assert "proxy on port 15001" in decided(found, WEB, HTTP).unknown

    @pytest.mark.parametrize("order", ["little", "big"])
    def test_authentication(self, order: str) -> None:
        found = map_of(entry(WEB, TCP, 80, auth=1, order=order), order=order)
        assert "authenticate" in decided(found, WEB, HTTP).unknown

    def test_authentication_of_an_entry_beside(self) -> None:
        found = map_of(entry(WEB, TCP, 80), entry(11, auth=1))
        assert "authenticate" in decided(found, WEB, HTTP).unknown
        assert map_of(entry(WEB, TCP, 80, deny=True)).decided is not None

    def test_a_peer_of_unknown_identity(self) -> None:
        """What is allowed to everybody and denied to nobody is known for it, too."""
        ports = AskedPorts((HTTP, DB))
        found = map_of(*everybody(protocol=TCP, port=80), entry(WEB, TCP, 5432))
        known, rest = found.for_unknown(ports, "just created", is_egress=False)
        assert (known.ports, known.is_allowed, known.unknown) == (1, True, "")
        assert (rest.ports, rest.unknown) == (2, "just created")
        (rest,) = map_of(*everybody(), entry(WEB, deny=True)).for_unknown(
            ports, "just created", is_egress=False
        )
        assert rest.ports == 3


class TestLayout:
    def test_the_other_byte_order(self) -> None:
        found = map_of(
            entry(WEB, TCP, 80, order="big"),
            entry(AGENT, egress=True, deny=True, order="big"),
            order="big",
        )
        assert allows(found, WEB, HTTP)
        assert not allows(found, AGENT, HTTP)
        assert str(decided(found, AGENT, HTTP, egress=True).entry).endswith(": deny")

    def test_an_unknown_layout_names_name_and_sizes(self) -> None:
        for name, size in (("cilium_policy_v9_00189", 12), (NAME, 16)):
            with pytest.raises(ParseError, match=f"{name} with keys of 12 .* of {size} bytes"):
                PolicyMap.of(EbpfMap(name, 11, 12, size, 100, 0), "little")

    @pytest.mark.parametrize("prefix", [0, 39, 41, 47, 65, 2**32 - 1])
    def test_an_impossible_prefix(self, prefix: int) -> None:
        damaged = struct.pack("<I", prefix) + entry(WEB)[4:]
        with pytest.raises(ParseError, match=f"prefix {prefix}"):
            map_of(damaged)

    def test_a_map_that_was_cut_or_damaged(self) -> None:
        document = maps_of("healthy", "td-w2")
        own = policy_maps_of(document)[1722]
        for change in ({"is_complete": False}, {"entries": ""}, {"problem": "not permitted"}):
            with pytest.raises(ParseError, match="cilium_policy_v3_01722"):
                PolicyMap.of(replace(own, **change), "little")

    def test_of_several_versions_the_newest_counts(self) -> None:
        """An upgrade leaves the older one pinned."""
        names = ("cilium_policy_v4_00007", "cilium_policy_00007", "cilium_policy_v3_00007")
        found = policy_maps_of(EbpfMaps("little", [EbpfMap(each) for each in names]))
        assert found[7].name == "cilium_policy_v4_00007"

    def test_ranges_of_ports_are_named_with_their_neighbours(self) -> None:
        found = map_of(entry(WEB, TCP, 64, bits=10), entry(WEB, UDP, 53), entry(WEB, TCP))
        assert set(found.named_ports) == {*(("tcp", n) for n in (63, 64, 127, 128)), ("udp", 53)}
