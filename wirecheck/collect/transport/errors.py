"""The errors of visits. Each message is a sentence or two with the cause and the next step."""

from __future__ import annotations

from typing import ClassVar

from wirecheck.snapshot.index import VisitStatus


class VisitError(Exception):
    """A visit that returned no document."""

    status: ClassVar[VisitStatus] = VisitStatus.UNREACHABLE


class UnreachableError(VisitError):
    """The command did not run on the node."""


class ConnectionDroppedError(UnreachableError):
    """The server closed the connection before the login; a later attempt may succeed."""


class TimeLimitError(VisitError):
    """The node did not answer within the limit."""

    status = VisitStatus.TIME_LIMIT


class UnrecognisedAnswerError(VisitError):
    """The command ran, but its output is not a document of the node program."""

    status = VisitStatus.UNRECOGNISED


class WrongHostError(VisitError):
    """The host that answered is not the node, or cannot be proven to be the node."""

    status = VisitStatus.WRONG_HOST
