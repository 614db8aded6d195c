"""A DNS query of a plan: its message, server, source and reason."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import dns.message
from msgspec import Struct

Transport = Literal["udp", "tcp"]
TRANSPORTS: tuple[Transport, ...] = ("udp", "tcp")


class Ask(Struct, frozen=True):
    """A query, by its id, to one server."""

    query: str
    server: str
    transport: Transport
    port: int = 53
    purpose: str = ""
    """As in `attempts.Probe`."""
    second: str = ""
    """The id of a query that is sent from the same socket."""
    times: int = 0
    """How often it is sent without retries; 0 means once, with retries."""


class PodSamples(Struct, frozen=True):
    """Single queries without retries, spread over some pods and DNS replicas of the node."""

    asks: list[Ask]
    """One for each replica."""
    sources: list[str]
    """Uids, as in cgroup paths, of the pods that send them."""
    count: int
    """How many are sent from all pods of the node together."""


@dataclass(frozen=True, slots=True)
class Question:
    """A name and a record type."""

    name: str
    kind: str
    edns: bool = True
    """Without EDNS, a response over UDP has to fit into 512 bytes."""

    @property
    def text(self) -> str:
        """`NAME TYPE`."""
        return f"{self.name} {self.kind}"

    @property
    def id(self) -> str:
        """The same in every round, whatever the other queries are."""
        text = self.text if self.edns else f"{self.text} without EDNS"
        return hashlib.sha256(text.encode()).hexdigest()[:10]

    @property
    def wire(self) -> str:
        """The message in base64; the node program replaces its id."""
        edns = 0 if self.edns else False
        query = dns.message.make_query(self.name, self.kind, use_edns=edns, payload=1232, id=0)
        return base64.b64encode(query.to_wire()).decode()


@dataclass(frozen=True, slots=True)
class Replica:
    """One address of a DNS replica, and the port on which it listens."""

    address: str
    ports: Mapping[Transport, int]

    def asked(
        self, question: Question, transport: Transport, purpose: str = "", times: int = 0
    ) -> Ask:
        """The query of `question` to this replica."""
        port = self.ports[transport]
        return Ask(question.id, self.address, transport, port, purpose, times=times)
