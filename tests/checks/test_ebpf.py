"""ebpf.*: the maps of Cilium's nodes, with the entries that they had on real ones."""

from __future__ import annotations

import base64
import ipaddress
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.changed_recordings import Document, found, items
from tests.test_network_recordings import FOLDER
from wirecheck.catalogue.findings import Level, Outcome
from wirecheck.results.causes import symptoms

USAGE = "ebpf.map_usage"
SERVICES, POLICY = "cilium_lb4_services_v2", "cilium_policy_v3_00189"
TCP = "cilium_ct4_global"
MakeRecording = Callable[..., Path]


def _change(name: str, /, **fields: object) -> Callable[[str, Document], None]:
    def change(node: str, document: Document) -> None:
        if node == "td-w1":
            (chosen,) = (each for each in document["ebpf"]["maps"] if each["name"] == name)
            chosen.update(fields)

    return change


def _add(**fields: object) -> Callable[[str, Document], None]:
    def change(node: str, document: Document) -> None:
        if node == "td-w1":
            entry = {"type": 9, "key_size": 14, "value_size": 56, "max_entries": 200_000, **fields}
            document["ebpf"]["maps"].append(entry)

    return change


@pytest.mark.parametrize("recording", ["healthy", "dual-stack", "beside-kube-proxy"])
def test_maps_with_free_entries_pass(with_maps: MakeRecording, recording: str) -> None:
    results = items(with_maps(recording), USAGE)
    assert [each.outcome for each in results] == [Outcome.PASS] * 3
    assert not any(each.unjudged for each in results)


@pytest.mark.parametrize(
    ("name", "limit", "level", "remedy"),
    [
        (SERVICES, 250, Level.WARN, "bpf-lb-map-max"),
        (SERVICES, 200, Level.FAIL, "bpf-lb-map-max"),
        (SERVICES, 196, Level.FAIL, "bpf-lb-map-max"),
        ("cilium_lb4_backends_v3", 34, Level.FAIL, "bpf-lb-map-max"),
        (POLICY, 20, Level.FAIL, "bpf-policy-map-max"),
        ("cilium_node_map_v2", 7, Level.WARN, "bpf-node-map-max"),
        ("cilium_lxc", 16, Level.FAIL, "no setting"),
        ("cilium_ipcache_v2", 50, Level.WARN, "no setting"),
    ],
)
def test_a_map_that_is_nearly_full_is_found(
    with_maps: MakeRecording, name: str, limit: int, level: Level, remedy: str
) -> None:
    results = items(with_maps("healthy", _change(name, max_entries=limit)), USAGE)
    (finding,) = (each for result in results for each in result.findings)
    assert finding.level is level
    assert str(finding.object) == f"Node td-w1 {name}"
    assert f"of {limit:,} entries" in finding.expected
    assert remedy in finding.remedy
    assert "exec cilium-vfd9k -- cilium-dbg map list" in finding.remedy


@pytest.mark.parametrize("limit", [262, 65_536])
def test_three_quarters_are_still_enough(with_maps: MakeRecording, limit: int) -> None:
    assert found(with_maps("healthy", _change(SERVICES, max_entries=limit)), USAGE) == []


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        (TCP, "bpf-ct-global-tcp-max"),
        ("cilium_ct_any6_global", "bpf-ct-global-any-max"),
        ("cilium_snat_v4_external", "bpf-nat-global-max"),
    ],
)
def test_maps_of_connections_and_nat_are_evaluated(
    with_maps: MakeRecording, name: str, setting: str
) -> None:
    results = items(with_maps("healthy", _add(name=name, count=190_000)), USAGE)
    (finding,) = (each for result in results for each in result.findings)
    assert finding.found == "190,000 entries, 95 %"
    assert setting in finding.remedy


def test_a_count_that_was_cut_is_the_least(with_maps: MakeRecording) -> None:
    cut = _add(name=TCP, count=160_000, is_complete=False)
    ((_, _, words),) = found(with_maps("healthy", cut), USAGE)
    assert words == "at least 160,000 entries, 80 %"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_add(name=TCP, count=60_000, is_complete=False), "only 60,000 entries"),
        (_add(name=TCP, problem="Permission denied", max_entries=0), "Permission denied"),
        (_change(POLICY, problem="Operation not permitted"), "not permitted"),
        (lambda _, document: document["ebpf"].update(not_counted=12), "12 further pins"),
    ],
)
def test_what_was_not_counted_is_inconclusive(
    with_maps: MakeRecording, change: Callable[[str, Document], None], reason: str
) -> None:
    results = items(with_maps("healthy", change), USAGE)
    assert {each.outcome for each in results} == {Outcome.PASS}
    assert [why for each in results for why in each.unjudged if reason in why]


def test_recordings_without_counts_are_not_applicable(with_maps: MakeRecording) -> None:
    folder = with_maps("healthy", lambda _, document: document["ebpf"].pop("counted"))
    assert {each.outcome for each in items(folder, USAGE)} == {Outcome.SKIP}
    assert {each.outcome for each in items(FOLDER / "cilium-healthy", USAGE)} == {Outcome.SKIP}
    assert {each.outcome for each in items(FOLDER / "kind-healthy", USAGE)} == {Outcome.SKIP}


def test_maps_that_cannot_be_read_are_an_error(with_maps: MakeRecording) -> None:
    def change(_: str, document: Document) -> None:
        document["ebpf"] = {"byte_order": "little", "problem": "No such file or directory"}

    results = items(with_maps("healthy", change), USAGE)
    assert {each.outcome for each in results} == {Outcome.ERROR}
    assert all("No such file" in each.reason for each in results)


IDENTITIES, TUNNELS = "ebpf.pod_identities", "ebpf.tunnel_endpoints"
ENDPOINTS = "ebpf.pod_endpoints"
IPCACHE, LXC = "cilium_ipcache_v2", "cilium_lxc"
SIZES = {IPCACHE: (24, 24), LXC: (20, 48)}
OF_ADDRESSES = (IDENTITIES, TUNNELS, ENDPOINTS)
Edit = Callable[[dict[bytes, bytes]], None]


def _edit(name: str, edit: Edit, node: str = "td-w1") -> Callable[[str, Document], None]:
    """Changes the entries of a map on one node."""
    size, of = SIZES[name]

    def change(where: str, document: Document) -> None:
        if where != node:
            return
        (chosen,) = (each for each in document["ebpf"]["maps"] if each["name"] == name)
        data = base64.b64decode(chosen["entries"])
        pieces = [data[at : at + size + of] for at in range(0, len(data), size + of)]
        entries = {each[:size]: each[size:] for each in pieces}
        edit(entries)
        joined = b"".join(key + entries[key] for key in sorted(entries))
        chosen.update(count=len(entries), entries=base64.b64encode(joined).decode())

    return change


def _packed(address: str) -> bytes:
    return ipaddress.ip_address(address).packed


def _known(address: str) -> bytes:
    """The key in the ipcache."""
    own = _packed(address)
    head = struct.pack("<IHxB", 32 + 8 * len(own), 0, 1 if len(own) == 4 else 2)
    return head + own.ljust(16, b"\0")


def _local(address: str) -> bytes:
    """The key in the map of endpoints."""
    return _packed(address).ljust(16, b"\0") + b"\1\0\0\0"


def _entry(identity: int, tunnel: str = "0.0.0.0", flags: int = 0) -> bytes:
    return struct.pack("<I16s2xBB", identity, _packed(tunnel), 0, flags)


def _put(**entries: bytes) -> Edit:
    """`w2_41="…"` for 10.244.2.41."""

    def edit(known: dict[bytes, bytes]) -> None:
        for name, value in entries.items():
            third, fourth = name.removeprefix("w").split("_")
            known[_known(f"10.244.{third}.{fourth}")] = value

    return edit


def _levels(folder: Path, *checks: str) -> set[tuple[str, str, str, str]]:
    """(node, level, object, what was found) of each finding."""
    return {
        (item.node, str(each.level), str(each.object), each.found)
        for item in items(folder, *checks)
        for each in item.findings
    }


def _without_new_pod(objects: Document) -> None:
    """The pod was created after the maps were read."""
    objects["pods"] = [
        each for each in objects["pods"] if each["metadata"]["name"] != "web-7f6486dd6c-4ktcd"
    ]


@pytest.mark.parametrize("recording", ["healthy", "dual-stack", "beside-kube-proxy"])
def test_the_maps_of_addresses_are_as_the_api(with_maps: MakeRecording, recording: str) -> None:
    results = items(with_maps(recording, api=_without_new_pod), *OF_ADDRESSES)
    assert [each.outcome for each in results] == [Outcome.PASS] * 9
    assert not any(each.unjudged for each in results)


def test_a_lost_identity_is_a_warning_on_its_node(with_maps: MakeRecording) -> None:
    assert _levels(with_maps("identity-lost"), *OF_ADDRESSES) == {
        (
            "td-w1",
            "warn",
            "Pod shop/web-678979c555-nc4qm",
            "no entry: it counts as identity 2 (world) of 10.244.2.0/24",
        )
    }


def test_a_stopped_agent_lacks_new_pods_and_keeps_old_ones(with_maps: MakeRecording) -> None:
    found = _levels(with_maps("agent-stopped"), *OF_ADDRESSES)
    assert {(node, level, what) for node, level, what, _ in found} == {
        ("td-w1", "warn", "Pod shop/web-678979c555-nc4qm"),
        ("td-w1", "warn", "Pod shop/web-678979c555-s9hvk"),
        ("td-w1", "warn", "Node td-w1 ipcache 10.244.2.41"),
        ("td-w1", "warn", "Node td-w1 ipcache 10.244.2.52"),
    }


def test_wrong_identities_fail_and_stale_ones_warn(with_maps: MakeRecording) -> None:
    edit = _put(
        w2_41=_entry(57426, "172.29.0.12", 2),  # that of shop/db
        w2_235=_entry(2, "172.29.0.12", 2),
        w2_77=_entry(17193, "172.29.0.12", 2),  # of nobody
        w2_78=_entry(5, "172.29.0.12", 2),
        w2_79=_entry(3 << 16 | 400, "172.29.0.12", 2),  # of another cluster
        w1_6=_entry(700),  # of a finished Job
    )
    assert _levels(with_maps("healthy", _edit(IPCACHE, edit)), IDENTITIES) == {
        ("td-w1", "fail", "Pod shop/web-678979c555-bp74c", "identity 57426"),
        ("td-w1", "fail", "Pod shop/db-0", "identity 2 (world)"),
        (
            "td-w1",
            "warn",
            "Node td-w1 ipcache 10.244.2.77",
            "identity 17193, and no pod has the address",
        ),
    }


def test_an_emptied_ipcache_is_one_finding(with_maps: MakeRecording) -> None:
    folder = with_maps("healthy", _edit(IPCACHE, lambda entries: entries.clear()))
    ((node, _, what, words),) = _levels(folder, IDENTITIES)
    assert (node, what) == ("td-w1", "Node td-w1 ipcache")
    assert "it counts as nobody" in words


def test_the_second_family_is_compared(with_maps: MakeRecording) -> None:
    address = "fd00:244:0:1::c4e"

    def edit(entries: dict[bytes, bytes]) -> None:
        del entries[_known(address)]

    folder = with_maps("dual-stack", _edit(IPCACHE, edit, "td-w2"), _without_new_pod)
    ((node, _, _, words),) = _levels(folder, IDENTITIES)
    assert (node, words.endswith("of fd00:244:0:1::/64")) == ("td-w2", True)


def _without_endpoints(objects: Document) -> None:
    objects["ciliumEndpoints"] = []


def _without_one(objects: Document) -> None:
    found = objects["ciliumEndpoints"]
    found[:] = [each for each in found if each["metadata"]["name"] != "db-0"]


def _with_odd_addresses(objects: Document) -> None:
    for each in objects["ciliumEndpoints"]:
        if each["metadata"]["name"] == "db-0":
            each["status"]["networking"]["addressing"] = [{"ipv4": "nonsense"}, {"ipv6": "::1"}]


@pytest.mark.parametrize(
    ("api", "reason"),
    [
        (_without_endpoints, "no CiliumEndpoint was read"),
        (_without_one, "pods without a CiliumEndpoint"),
        (_with_odd_addresses, "pods without a CiliumEndpoint"),
    ],
)
def test_pods_of_unknown_identity_are_inconclusive(
    with_maps: MakeRecording, api: Callable[[Document], None], reason: str
) -> None:
    edit = _put(w2_235=_entry(9999, "172.29.0.12", 2))
    results = items(with_maps("healthy", _edit(IPCACHE, edit), api), IDENTITIES)
    assert {each.outcome for each in results} == {Outcome.PASS}
    assert all(any(reason in why for why in each.unjudged) for each in results)


def test_tunnels_lead_to_the_pods_nodes(with_maps: MakeRecording) -> None:
    def edit(known: dict[bytes, bytes]) -> None:
        _put(
            w2_41=_entry(17193, "172.29.0.10", 2),
            w2_235=_entry(57426),
            w2_164=_entry(3605, "192.0.2.9", 2),
            w1_8=_entry(26146, "172.29.0.12", 2),
            w1_13=_entry(3605, "172.29.0.11", 2),  # the node itself
            w2_114=_entry(6895, "0.0.0.0", 1),
        )(known)
        key = struct.pack("<IHxB", 32 + 24, 0, 1) + bytes([10, 9, 9, 0]).ljust(16, b"\0")
        known[key] = _entry(2, "192.0.2.9", 2)

    folder = with_maps("healthy", _edit(IPCACHE, edit))
    assert _levels(folder, TUNNELS) == {
        ("td-w1", "fail", "Pod shop/web-678979c555-bp74c", "tunnel to 172.29.0.10, td-cp"),
        ("td-w1", "fail", "Pod shop/db-0", "no tunnel"),
        (
            "td-w1",
            "fail",
            "Pod sealed/vault-5dbd85c544-bbndr",
            "tunnel to 192.0.2.9, which is not a node",
        ),
        ("td-w1", "fail", "Pod shop/gateway-58bcb6f5dc-x4xrd", "tunnel to 172.29.0.12, td-w2"),
        ("td-w1", "warn", "Node td-w1 ipcache 10.9.9.0/24", "192.0.2.9, which is not a node"),
    }
    (result,) = (each for each in items(folder, TUNNELS) if each.node == "td-w1")
    assert [why for why in result.unjudged if "without the tunnel" in why]


def test_only_direct_addresses_decide_nothing(with_maps: MakeRecording) -> None:
    def edit(known: dict[bytes, bytes]) -> None:
        for key, value in known.items():
            known[key] = value[:4] + bytes(19) + b"\1"
        del known[_known("10.244.0.201")]  # The node's own pod needs no tunnel.

    folder = with_maps("healthy", _edit(IPCACHE, edit, "td-cp"))
    (result,) = (each for each in items(folder, TUNNELS) if each.node == "td-cp")
    assert (result.conclusive, result.findings) == (0, [])


def test_a_node_without_a_tunnel_has_no_tunnel_endpoints(with_maps: MakeRecording) -> None:
    def change(_: str, document: Document) -> None:
        links = document["namespaces"][0]["links"]
        links[:] = [each for each in links if each["name"] != "cilium_vxlan"]

    results = items(with_maps("healthy", change), TUNNELS)
    assert {each.outcome for each in results} == {Outcome.SKIP}


def test_endpoints_lead_to_the_pods_devices(with_maps: MakeRecording) -> None:
    def edit(entries: dict[bytes, bytes]) -> None:
        vault = entries.pop(_local("10.244.1.13"))
        gateway = entries[_local("10.244.1.8")]
        entries[_local("10.244.1.8")] = vault[:4] + gateway[4:]
        db = entries[_local("10.244.1.27")]
        entries[_local("10.244.1.27")] = struct.pack("<I", 9999) + db[4:]
        web = entries[_local("10.244.1.75")]
        entries[_local("10.244.1.75")] = web[:32] + struct.pack("<I", 57426) + web[36:]
        entries[_local("10.244.1.99")] = gateway

    found = _levels(with_maps("healthy", _edit(LXC, edit)), ENDPOINTS)
    assert {(node, level, what) for node, level, what, _ in found} == {
        ("td-w1", "fail", "Pod sealed/vault-5dbd85c544-2n7cp"),
        ("td-w1", "fail", "Pod shop/gateway-58bcb6f5dc-x4xrd"),
        ("td-w1", "fail", "Pod shop/db-1"),
        ("td-w1", "fail", "Pod shop/web-678979c555-c62gs"),
        ("td-w1", "warn", "Node td-w1 endpoint 10.244.1.99"),
    }
    words = {what.rpartition("/")[2]: words for _, _, what, words in found}
    assert words["vault-5dbd85c544-2n7cp"] == "no entry"
    assert words["gateway-58bcb6f5dc-x4xrd"].startswith("to lxc")
    assert words["db-1"] == "to device 9999, which does not exist"
    assert words["web-678979c555-c62gs"] == "identity 57426"


@pytest.mark.parametrize(
    ("name", "fields", "words"),
    [
        (IPCACHE, {"name": "cilium_ipcache_v9"}, "cilium_ipcache_v9 with keys of 24 bytes"),
        (IPCACHE, {"value_size": 12}, "values of 12 bytes"),
        (IPCACHE, {"is_complete": False}, "only 40 entries were read before a limit"),
        (IPCACHE, {"name": "cilium_other"}, "no eBPF map cilium_ipcache is pinned"),
        (LXC, {"problem": "Permission denied"}, "Permission denied"),
        (LXC, {"key_size": 24}, "cilium_lxc with keys of 24 bytes"),
        (LXC, {"entries": ""}, "0 bytes are not 16 entries"),
    ],
)
def test_a_map_of_addresses_that_is_not_decoded_is_an_error(
    with_maps: MakeRecording, name: str, fields: Document, words: str
) -> None:
    checks = (ENDPOINTS,) if name == LXC else (IDENTITIES, TUNNELS)
    results = items(with_maps("healthy", _change(name, **fields)), *checks)
    broken = [each for each in results if each.node == "td-w1"]
    assert {each.outcome for each in broken} == {Outcome.ERROR}
    assert all(words in each.reason for each in broken)


@pytest.mark.parametrize("recording", ["cilium-healthy", "kind-healthy"])
def test_recordings_without_the_maps_are_not_applicable(recording: str) -> None:
    results = items(FOLDER / recording, *OF_ADDRESSES)
    assert {each.outcome for each in results} == {Outcome.SKIP}


SOCKETS = "ebpf.socket_programs"


def _without(*hooks: str) -> Callable[[str, Document], None]:
    def change(node: str, document: Document) -> None:
        if node == "td-w1":
            for each in hooks:
                del document["ebpf"]["sockets"][each]

    return change


@pytest.mark.parametrize("recording", ["healthy", "dual-stack"])
def test_complete_socket_programs_pass(with_maps: MakeRecording, recording: str) -> None:
    results = items(with_maps(recording), SOCKETS)
    assert [each.outcome for each in results] == [Outcome.PASS] * 3


@pytest.mark.parametrize(
    ("recording", "hooks", "expected"),
    [
        ("healthy", ("connect4",), {"connect4"}),
        ("healthy", ("sendmsg4", "recvmsg4"), {"sendmsg4", "recvmsg4"}),
        ("healthy", ("connect6", "getpeername4", "post_bind4"), set()),
        ("dual-stack", ("connect6",), {"connect6"}),
        (
            "healthy",
            tuple(f"{each}4" for each in ("connect", "sendmsg", "recvmsg", "getpeername")),
            {"connect4", "sendmsg4", "recvmsg4"},
        ),
    ],
)
def test_a_missing_socket_program_is_found(
    with_maps: MakeRecording, recording: str, hooks: tuple[str, ...], expected: set[str]
) -> None:
    found = _levels(with_maps(recording, _without(*hooks)), SOCKETS)
    assert {(node, level, what) for node, level, what, _ in found} == {
        ("td-w1", "fail", f"Node td-w1 cgroup {hook}") for hook in expected
    }


def test_a_program_of_another_family_or_name_does_not_count(with_maps: MakeRecording) -> None:
    def change(node: str, document: Document) -> None:
        if node == "td-w1":
            document["ebpf"]["sockets"]["connect4"] = ["cil_sock6_conne"]
            document["ebpf"]["sockets"]["sendmsg4"] = ["sd_fw_egress"]
            document["ebpf"]["sockets"]["recvmsg4"] = ["sd_fw", "sock4_recvmsg"]

    found = _levels(with_maps("healthy", change), SOCKETS)
    assert {what for _, _, what, _ in found} == {
        "Node td-w1 cgroup connect4",
        "Node td-w1 cgroup sendmsg4",
    }


def _no_sockets(_: str, document: Document) -> None:
    document["ebpf"]["sockets"] = {"connect4": ["sd_fw"]}


def _sockets_unread(_: str, document: Document) -> None:
    del document["ebpf"]["sockets"]


@pytest.mark.parametrize(
    ("recording", "change", "reason"),
    [
        ("healthy", _no_sockets, "no cgroup of the node"),
        ("healthy", _sockets_unread, "recorded before"),
        ("beside-kube-proxy", _no_sockets, "does not replace kube-proxy"),
    ],
)
def test_nodes_without_socket_programs_are_not_applicable(
    with_maps: MakeRecording,
    recording: str,
    change: Callable[[str, Document], None],
    reason: str,
) -> None:
    results = items(with_maps(recording, change), SOCKETS)
    assert {each.outcome for each in results} == {Outcome.SKIP}
    assert all(reason in each.reason for each in results)


def test_a_stopped_agent_is_one_cause(with_maps: MakeRecording) -> None:
    checks = ("services.no_stale_backends", "services.backends_programmed", IDENTITIES)
    found = symptoms(items(with_maps("agent-stopped"), *checks))
    assert found == {
        (each, "td-w1"): ("services.no_stale_backends", "td-w1")
        for each in ("services.backends_programmed", IDENTITIES)
    }
