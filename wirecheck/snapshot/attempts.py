"""What was sent from a netns, each try of it, and what came back."""

from __future__ import annotations

from wirecheck.snapshot.part import SnapshotPart


class Try(SnapshotPart, frozen=True):
    """One attempt of a probe."""

    seconds: float
    answer: str = ""
    """The bytes that came back, base64."""
    error: str = ""
    """`timeout`, `refused`, `unreachable` or errno's words; empty when an answer came."""
    second: str = ""
    """Of a pair: the answer to the second query."""


class Probe(SnapshotPart, frozen=True):
    """One query, sent from one netns to one server; ends with its first answer."""

    inode: int
    query: str
    """The query's id in the visit's plan."""
    server: str
    port: int
    transport: str
    tries: list[Try] = []
    purpose: str = ""
    """Why it was sent: `sample`, `pair`, `unknown name`, `large answer`, `external name`,
    `local cache`; empty for the name that is asked everywhere, and for those of Services."""
    second: str = ""
    """Of a pair: the id of the query that left by the same socket."""


class Contact(SnapshotPart, frozen=True):
    """A TCP connection that was made, or tried, from one netns; its last try."""

    inode: int
    source: str
    """The uid of the pod that it came from, as in `PodProcesses`; empty for the node itself."""
    purpose: str
    """Why: `node`, `pod`, `messages`, `api`, `same node`, `hairpin`, `node port`, `host port`,
    `health check`; `backend`: what listens behind one of these."""
    address: str
    port: int
    tries: int = 0
    made: int = 0
    """How many of the tries led to what was wanted."""
    times: int = 1
    """How often it was to be made; where only once, a failed try is repeated."""
    seconds: float = 0.0
    error: str = ""
    """How the last try that failed did: as for a probe."""
    messages: int = 0
    """How many messages were to be sent over it, each of which is answered by one."""
    sent: int = 0
    received: int = 0
    """Bytes, of the last try."""
    replies: int = 0
    status: int | None = None
    """Of an HTTP answer, where one was asked for."""
    endpoints: int | None = None
    """How many of its own the node names in that answer."""
