"""Why a visit brought no document; each error is one sentence with the cause and the next step."""

from __future__ import annotations

from typing import ClassVar

from wirecheck.snapshot.index import VisitStatus


class VisitError(Exception):
    """A visit that brought no document."""

    status: ClassVar[VisitStatus] = VisitStatus.UNREACHABLE


class UnreachableError(VisitError):
    """The command did not run on the node."""


class TurnedAwayError(UnreachableError):
    """A server closed the connection at its door; at another moment it may let it in."""


class TimeLimitError(VisitError):
    """The node did not answer within the limit."""

    status = VisitStatus.TIME_LIMIT


class NotUnderstoodError(VisitError):
    """Something answered, but not as the node program does."""

    status = VisitStatus.UNRECOGNISED


class WrongHostError(VisitError):
    """The host that answered is not the node, or cannot be told to be."""

    status = VisitStatus.WRONG_HOST
