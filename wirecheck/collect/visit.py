"""Visits many nodes in parallel, one command each, and proves that each host is the node."""

from __future__ import annotations

import queue
import random
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass

import msgspec

from wirecheck.addresses import address
from wirecheck.api_index.node_addresses import internal_addresses, node_ips
from wirecheck.catalogue.facts import Fact
from wirecheck.collect.document_frame import FrameError, unframed
from wirecheck.collect.interruptible import next_of
from wirecheck.collect.node_program import agent_command_line, command_line
from wirecheck.collect.plan.visit_plan import Plan, RoundOptions
from wirecheck.collect.transport.bounded_process import CalledOffError
from wirecheck.collect.transport.errors import (
    ConnectionDroppedError,
    UnrecognisedAnswerError,
    VisitError,
    WrongHostError,
)
from wirecheck.collect.transport.remote_command import run_on
from wirecheck.inventory.file import AccessMethod
from wirecheck.snapshot.index import VisitRecord, VisitStatus
from wirecheck.snapshot.node_document import FORMAT, NodeDocument
from wirecheck.snapshot.objects.node import NodeObject
from wirecheck.snapshot.values import has_too_many_values

Visited = tuple[str, VisitRecord, bytes | None]

DECODER = msgspec.json.Decoder(NodeDocument)
"""Created while there is one thread: msgspec 0.22 crashes the process if several threads are
the first to decode a type."""

SLOW = 10.0
"""Seconds of one command. With 10,000 Services `iptables-save` takes 2, a listing of nft 24."""

SHORTEST = 1.0
"""Seconds. A visit does not start with less of the total limit left."""
AGAIN = (0.5, 1.0, 2.0, 4.0, 8.0, 8.0)
"""Seconds before each new attempt after a server closed the connection before the login.

A login through a jump host takes seconds where its processor is busy, and sshd refuses the others
meanwhile: 8 visits through one with `MaxStartups 2` needed more than the first four pauses.
"""
TIDYING = 5.0
"""Seconds that cancelled visits have to end their processes."""


@dataclass(frozen=True, slots=True)
class Round:
    """What all visits of one round share."""

    options: RoundOptions
    end: float
    """On the monotonic clock: no visit lasts longer."""
    called_off: threading.Event


def visit_all(
    methods: Mapping[str, AccessMethod],
    nodes: Mapping[str, NodeObject],
    plans: Callable[[str], Plan],
    options: RoundOptions,
    progress: Callable[[str, VisitRecord], None],
) -> Generator[Visited, None, None]:
    """Visit every node of `methods` and yield (name, record, JSON document or None) for each.

    There is a document exactly if the record's status is `seen`; it is proven to come from the
    node. A failed visit is a record, never an exception. Closing the iterator ends the visits
    that still run.
    """
    this = Round(options, time.monotonic() + options.total_limit, threading.Event())
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for name in sorted(methods):
        waiting.put(name)
    # Bounded, so that documents do not pile up faster than they are written.
    done: queue.Queue[Visited] = queue.Queue(max(1, options.workers))

    def work() -> None:
        while not this.called_off.is_set():
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            _hand_over((name, *_visit(methods[name], nodes[name], plans, this)), done, this)

    # Daemon threads: ending the run never waits for a node.
    workers = [
        threading.Thread(target=work, name="visit", daemon=True)
        for _ in range(min(len(methods), max(1, options.workers)))
    ]
    for worker in workers:
        worker.start()
    try:
        for _ in methods:
            name, record, document = next_of(done)
            progress(name, record)
            yield name, record, document
    finally:
        this.called_off.set()
        # Each worker ends its process: leaving at once would leave processes behind.
        tidied_up = time.monotonic() + TIDYING
        for worker in workers:
            worker.join(max(0.0, tidied_up - time.monotonic()))


def _hand_over(visited: Visited, done: queue.Queue[Visited], this: Round) -> None:
    while not this.called_off.is_set():
        try:
            done.put(visited, timeout=1)
        except queue.Full:
            continue
        return


def _visit(
    access: AccessMethod, node: NodeObject, plans: Callable[[str], Plan], this: Round
) -> tuple[VisitRecord, bytes | None]:
    """Visit one node; every outcome is a record."""
    began = time.monotonic()
    record = VisitRecord(VisitStatus.UNREACHABLE, via=access.uri)

    def ended(**fields: object) -> VisitRecord:
        seconds = round(time.monotonic() - began, 3)
        return msgspec.structs.replace(record, seconds=seconds, **fields)

    limit = min(this.options.visit_limit, this.end - began)
    if limit < SHORTEST:
        reason = (
            f"{access.node} was not visited: the {this.options.total_limit:.0f} s for all nodes "
            "had passed. Raise `limits.total` or `limits.workers` in the inventory."
        )
        return ended(status=VisitStatus.TIME_LIMIT, reason=reason), None
    try:
        plan = plans(access.node).encoded()
        command = agent_command_line(plan) if access.pod else command_line(plan)
        record = msgspec.structs.replace(record, commands=1)
        output = _run_on(access, command, limit, this.called_off)
        raw, document = _proven(output, node, access)
    except VisitError as error:
        return ended(status=error.status, reason=str(error)), None
    except CalledOffError:
        return ended(reason=f"The visit to {access.node} was cancelled."), None
    except Exception as error:
        # No error may end the visits to other nodes.
        what = f"{type(error).__name__}: {error}"
        reason = f"The visit to {access.node} failed with an internal error: {what}"
        return ended(reason=reason), None
    seen = ended(
        status=VisitStatus.SEEN,
        bytes=len(raw),
        dns_queries=sum(
            len(each.tries) * (2 if each.second else 1) for each in document.probes or ()
        ),
        connections=sum(each.tries for each in document.contacts or ()),
        proxy_mode=_proxy_mode(document),
        up=document.host.up,
        slow=_slow(document),
    )
    return seen, raw


def _run_on(access: AccessMethod, command: str, limit: float, called_off: threading.Event) -> bytes:
    """The output of the command.

    Many parallel visits through one jump host exceed what its sshd accepts (MaxStartups). Each
    of them tries again after a random pause.
    """
    end = time.monotonic() + limit
    for again in AGAIN:
        pause = again * random.uniform(0.5, 1.5)
        try:
            return run_on(access, command, seconds=end - time.monotonic(), called_off=called_off)
        except ConnectionDroppedError:
            if end - time.monotonic() < pause + SHORTEST:
                raise
        if called_off.wait(pause):
            raise CalledOffError
    return run_on(access, command, seconds=end - time.monotonic(), called_off=called_off)


def _slow(document: NodeDocument) -> dict[str, float]:
    """The commands that took so long that their output may be older than the rest."""
    return {name: each.seconds for name, each in document.commands.items() if each.seconds >= SLOW}


def _proxy_mode(document: NodeDocument) -> str:
    """The mode that kube-proxy reports; empty if it reports none."""
    answer = (document.http or {}).get("proxyMode")
    return answer.body.strip() if answer and answer.status == 200 else ""


def _proven(output: bytes, node: NodeObject, access: AccessMethod) -> tuple[bytes, NodeDocument]:
    """The document in the output, proven to come from the node. Raises VisitError."""
    try:
        raw = unframed(output)
        if has_too_many_values(raw):
            raise FrameError("the document has more values than any node")
        document = DECODER.decode(raw)
        prove(node, document, access)
    except (FrameError, msgspec.MsgspecError, RecursionError) as error:
        raise UnrecognisedAnswerError(
            f"{access.node} answered by {access.uri}, but {error}. Check what that access method "
            "prints by itself, such as a login message, and whether python3 works there."
        ) from error
    return raw, document


def prove(node: NodeObject, document: NodeDocument, access: AccessMethod) -> None:
    """Raise WrongHostError unless the host that answered is the node.

    It must have one of the Node's InternalIPs, and the Node's machine-id if both are known. A
    Node with ExternalIPs only may be behind NAT: then the machine-id is enough.
    """
    name, host = node.metadata.name, document.host
    if not document.namespaces and (problem := document.problem_with(Fact.NETNS)):
        raise UnrecognisedAnswerError(
            f"The host {host.hostname} answered by {access.uri}, but whether it is node {name} is "
            f"unknown: its addresses could not be read. {problem[:500]}"
        )
    answered = f"The host {host.hostname or 'without a name'} answered by {access.uri}. It"
    if document.format != FORMAT or not document.namespaces:
        raise WrongHostError(f"{answered} sent nothing that proves that it is node {name}.")
    wanted = frozenset(node_ips(node))
    if not wanted:
        raise WrongHostError(
            f"{answered} cannot be proven to be node {name}: the Node has no InternalIP and "
            "no ExternalIP."
        )
    owned = {address(each.address) for each in document.namespaces[0].addresses}
    expected = node.status.node_info.machine_id
    is_behind_nat = not internal_addresses(node) and expected and host.machine_id
    if not (wanted & owned or is_behind_nat):
        raise WrongHostError(
            f"{answered} has none of the addresses of node {name} "
            f"({', '.join(sorted(map(str, wanted)))}). "
            f"Correct `access` for {name} in the inventory."
        )
    if expected and host.machine_id and not _same_id(expected, host.machine_id):
        raise WrongHostError(
            f"{answered} has machine-id {host.machine_id}, but node {name} has {expected}: two "
            "hosts share an address, or the kubelet was not restarted after the id changed."
        )


def _same_id(one: str, other: str) -> bool:
    return one.replace("-", "").lower() == other.replace("-", "").lower()
