"""Visits as a whole: side by side, with limits, and with the proof that the host is the node."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import msgspec
import pytest

from tests.checks import small_cluster
from wirecheck.collect import visit
from wirecheck.collect.on_node.visit import framed
from wirecheck.collect.plan.visit_plan import RoundOptions, plan_for
from wirecheck.collect.transport.errors import WrongHostError
from wirecheck.collect.visit import Visited, visit_all
from wirecheck.inventory.file import AccessMethod
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.index import VisitRecord
from wirecheck.snapshot.node_document import Command, Host, NodeDocument
from wirecheck.snapshot.objects.node import NodeAddress, NodeInfo, NodeObject

API = msgspec.convert(small_cluster.api(), ApiObjects)
PLAN = plan_for(API, "n1", RoundOptions())
ACCESS = AccessMethod(node="n1", uri="ssh://root@192.0.2.1", address="192.0.2.1")


def named(name: str) -> NodeObject:
    node, *_ = API.nodes
    return msgspec.structs.replace(node, metadata=msgspec.structs.replace(node.metadata, name=name))


def with_status(addresses: list[NodeAddress] | None = None, machine_id: str = "") -> NodeObject:
    node, *_ = API.nodes
    status = msgspec.structs.replace(node.status, node_info=NodeInfo(machine_id=machine_id))
    if addresses is not None:
        status = msgspec.structs.replace(status, addresses=addresses)
    return msgspec.structs.replace(node, status=status)


def answer(document: NodeDocument | None = None) -> bytes:
    return framed(msgspec.to_builtins(document or small_cluster.document())).encode()


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Callable[[threading.Event], bytes]]:
    """What the command on each node returns; called in the thread of the visit."""
    nodes: dict[str, Callable[[threading.Event], bytes]] = {}

    def run_on(
        access: AccessMethod, command: str, *, seconds: float, called_off: threading.Event
    ) -> bytes:
        return nodes[access.node](called_off)

    monkeypatch.setattr(visit, "run_on", run_on)
    return nodes


def visit_nodes(names: list[str], options: RoundOptions | None = None) -> dict[str, Visited]:
    told: list[str] = []
    methods = {name: msgspec.structs.replace(ACCESS, node=name) for name in names}
    found = list(
        visit_all(
            methods,
            {name: named(name) for name in names},
            lambda _: PLAN,
            options or RoundOptions(),
            lambda name, _: told.append(name),
        )
    )
    assert sorted(name for name, _, _ in found) == sorted(told) == sorted(names)
    return {each[0]: each for each in found}


def test_the_document_of_a_proven_node(answers: dict[str, Callable[..., bytes]]) -> None:
    sent = small_cluster.document()
    answers["n1"] = lambda _: b"motd\n" + answer(sent)

    _, record, document = visit_nodes(["n1"])["n1"]

    assert (record.status, record.via, record.commands) == ("seen", ACCESS.uri, 1)
    assert document
    assert record.bytes == len(document)
    assert msgspec.json.decode(document, type=NodeDocument) == sent


def test_a_command_that_took_long_is_told(answers: dict[str, Callable[..., bytes]]) -> None:
    commands = {
        "iptables-nft-save": Command(["iptables-nft-save"], status=0, seconds=23.8),
        "ipset-save": Command(["ipset", "save"], status=0, seconds=9.9),
    }
    sent = msgspec.structs.replace(small_cluster.document(), commands=commands)
    answers["n1"] = lambda _: answer(sent)

    _, record, _ = visit_nodes(["n1"])["n1"]

    assert record.slow == {"iptables-nft-save": 23.8}


@pytest.mark.parametrize(
    ("output", "says"),
    [
        (b"login: ", "contains no document"),
        (answer()[:-300], "cut off"),
        (framed({"format": 1, "surprise": 1}).encode(), "unknown field|missing required"),
        (framed({"format": 1, "namespaces": 7}).encode(), "Expected `array`|missing required"),
    ],
)
def test_garbage_is_not_understood(
    answers: dict[str, Callable[..., bytes]], output: bytes, says: str
) -> None:
    answers["n1"] = lambda _: output

    _, record, document = visit_nodes(["n1"])["n1"]

    assert record.status == "not understood"
    assert re.search(says, record.reason)
    assert document is None


def test_a_failing_node_does_not_disturb_the_others(
    answers: dict[str, Callable[..., bytes]],
) -> None:
    def broken(_: threading.Event) -> bytes:
        raise RuntimeError("unforeseen")

    names = [f"n{i}" for i in range(40)]
    answers.update({name: (lambda _: answer()) for name in names})
    answers["n7"] = broken

    found = visit_nodes(names, RoundOptions(workers=4))

    assert found["n7"][1].status == "unreachable"
    assert "unforeseen" in found["n7"][1].reason
    assert all(record.status == "seen" for name, record, _ in found.values() if name != "n7")


def test_when_the_total_is_over_the_rest_is_told(answers: dict[str, Callable[..., bytes]]) -> None:
    answers["n1"] = lambda _: answer()

    _, record, document = visit_nodes(["n1"], RoundOptions(total_limit=0.5))["n1"]

    assert (record.status, record.commands, document) == ("time limit", 0, None)
    assert "limits.total" in record.reason


def test_leaving_does_not_wait_for_a_node(answers: dict[str, Callable[..., bytes]]) -> None:
    hung = threading.Event()
    released: list[str] = []

    def silent(called_off: threading.Event) -> bytes:
        hung.set()
        assert called_off.wait(60)
        released.append("n2")
        return b""

    answers.update({"n1": lambda _: answer(), "n2": silent})
    methods = {name: msgspec.structs.replace(ACCESS, node=name) for name in ("n1", "n2")}
    visits = visit_all(
        methods, {n: named(n) for n in methods}, lambda _: PLAN, RoundOptions(), lambda *_: None
    )
    assert next(visits)[0] == "n1"
    assert hung.wait(60)

    visits.close()  # type: ignore[attr-defined]

    for _ in range(600):
        if released:
            break
        time.sleep(0.1)
    assert released == ["n2"]


def test_the_host_must_own_an_internal_address() -> None:
    prove_with = small_cluster.document()
    visit.prove(with_status(), prove_with, ACCESS)
    other = with_status([NodeAddress("InternalIP", "192.0.2.99"), NodeAddress("Hostname", "n1")])

    with pytest.raises(WrongHostError) as raised:
        visit.prove(other, prove_with, ACCESS)

    assert "192.0.2.99" in str(raised.value)
    assert "n1" in str(raised.value)


def test_an_address_of_a_pod_proves_nothing() -> None:
    pod_address = small_cluster.document().namespaces[1].addresses[0].address

    with pytest.raises(WrongHostError):
        visit.prove(
            with_status([NodeAddress("InternalIP", pod_address)]), small_cluster.document(), ACCESS
        )


def test_machine_ids_must_agree_where_both_are_known() -> None:
    document = msgspec.structs.replace(
        small_cluster.document(), host=Host("other", machine_id="B" * 32)
    )
    visit.prove(with_status(machine_id=""), document, ACCESS)
    visit.prove(with_status(machine_id="bbbbbbbb-bbbb-bbbb-bbbb-bbbbbbbbbbbb"), document, ACCESS)

    with pytest.raises(WrongHostError, match=r"other.*BBBB.*node n1 has aaaa"):
        visit.prove(with_status(machine_id="a" * 32), document, ACCESS)


@pytest.mark.parametrize(
    "addresses",
    [[], [NodeAddress("InternalIP", "")], [NodeAddress("InternalIP", "n1.example.internal")]],
)
def test_a_node_without_an_ip_address_cannot_be_proven(addresses: list[NodeAddress]) -> None:
    with pytest.raises(WrongHostError, match="no InternalIP"):
        visit.prove(with_status(addresses), small_cluster.document(), ACCESS)


def test_an_external_address_proves_a_node_that_has_no_internal_one() -> None:
    known = [NodeAddress("InternalIP", ""), NodeAddress("ExternalIP", "192.0.2.1")]
    visit.prove(with_status(known, machine_id=""), small_cluster.document(), ACCESS)

    translated = [NodeAddress("ExternalIP", "203.0.113.1")]
    with pytest.raises(WrongHostError, match="none of the addresses"):
        visit.prove(with_status(translated, machine_id=""), small_cluster.document(), ACCESS)
    machine = msgspec.structs.replace(
        small_cluster.document(), host=Host("n1", machine_id="a" * 32)
    )
    visit.prove(with_status(translated, machine_id="a" * 32), machine, ACCESS)
    with pytest.raises(WrongHostError, match="two hosts share"):
        visit.prove(with_status(translated, machine_id="b" * 32), machine, ACCESS)


@pytest.mark.needs("root")
def test_this_machine_by_the_local_way() -> None:
    """End to end: plan, command line, transport, program, frame, proof. Asks nothing of DNS."""
    bare = msgspec.structs.replace(API, services=[], pods=[])
    options = RoundOptions(visit_limit=60, window=0.1)
    node = with_status([NodeAddress("InternalIP", "127.0.0.1")])
    methods = {"n1": AccessMethod(node="n1", uri="local://", address="")}

    ((_, record, document),) = visit_all(
        methods, {"n1": node}, lambda name: plan_for(bare, name, options), options, lambda *_: None
    )

    assert record.status == "seen", record.reason
    assert isinstance(record, VisitRecord)
    seen = msgspec.json.decode(document or b"", type=NodeDocument)
    assert "lo" in {link.name for link in seen.namespaces[0].links}
    # A kubelet of a test cluster may run on this machine; the address that it hands out is asked.
    assert [each for each in seen.probes if each.purpose != "own server"] == []


SEVERAL_AT_ONCE = """
import sys, threading
from wirecheck.collect import visit
sys.setswitchinterval(1e-6)
raw = sys.stdin.buffer.read()
start = threading.Barrier(8)
def decode():
    start.wait()
    assert visit.DECODER.decode(raw).host.hostname == "n1"
threads = [threading.Thread(target=decode) for _ in range(8)]
for each in threads: each.start()
for each in threads: each.join()
"""


@pytest.mark.parametrize("turn", range(3))
def test_several_nodes_may_be_the_first_to_answer(turn: int) -> None:
    """In a process of its own: what went wrong there was a segmentation fault."""
    raw = msgspec.json.encode(small_cluster.document())
    ended = subprocess.run(
        [sys.executable, "-c", SEVERAL_AT_ONCE], input=raw, timeout=60, check=False
    )

    assert ended.returncode == 0
