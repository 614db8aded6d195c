"""What was sent from a network namespace, each attempt, and the responses."""

from __future__ import annotations

from typing import Annotated

from wirecheck.snapshot.part import FEW, SnapshotPart, Text, Word


class Try(SnapshotPart, frozen=True):
    """One attempt of a probe."""

    seconds: float
    answer: Text = ""
    """The bytes of the response, base64."""
    error: Word = ""
    """`timeout`, `refused`, `unreachable` or the text of errno; empty if there was a response."""
    second: Text = ""
    """For a pair: the response to the second query."""


class Probe(SnapshotPart, frozen=True):
    """A query sent from one netns to one server until it gets a response."""

    inode: int
    query: Word
    """The query's id in the visit's plan."""
    server: Word
    port: int
    transport: Word
    tries: Annotated[list[Try], FEW] = []
    purpose: Word = ""
    """Why it was sent: `sample`, `pod sample`, `pair`, `unknown name`, `large answer`,
    `external name`, `local cache`, `own server`; empty for the name that is asked everywhere, and
    for those of Services."""
    second: Word = ""
    """For a pair: the id of the query sent from the same socket."""


class Contact(SnapshotPart, frozen=True):
    """A TCP connection attempted from one netns; the fields describe the last attempt."""

    inode: int
    source: Word
    """The uid of the source pod, as in `PodProcesses`; empty for the node itself."""
    purpose: Word
    """Why: `node`, `pod`, `messages`, `api`, `same node`, `hairpin`, `node port`, `host port`,
    `health check`; `backend`: what listens behind one of these; `unserved`: an endpoint on the node
    at whose port nothing listens."""
    address: Word
    port: int
    tries: int = 0
    made: int = 0
    """The number of successful attempts."""
    times: int = 1
    """How often it was planned; a failed attempt is repeated only if that is once."""
    seconds: float = 0.0
    error: Word = ""
    """The error of the last failed attempt, as for a probe."""
    messages: int = 0
    """The number of messages planned; each of them gets one reply."""
    sent: int = 0
    received: int = 0
    """Bytes of the last attempt."""
    replies: int = 0
    status: int | None = None
    """The status of the HTTP response, if a request was sent."""
    endpoints: int | None = None
    """The number of local endpoints that the HTTP response reports."""
