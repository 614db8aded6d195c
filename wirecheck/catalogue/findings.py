"""What a check yields: findings about objects, and the outcome that follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Protocol


class Level(StrEnum):
    """The severity of a finding."""

    FAIL = "fail"
    """The cluster is wrong."""
    ERROR = "error"
    """It should have been readable, and was not, or was not recognised."""
    WARN = "warn"
    """It works today, but is a risk or a leak."""


class Outcome(StrEnum):
    """The outcome of one check on one node, or on the cluster."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    ERROR = "error"
    FLAKY = "flaky"
    """It failed in some rounds and not in others."""
    SKIP = "skip"
    WAIVED = "waived"
    KNOWN = "known"


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """The name of an object: exact within a run by `uid`, comparable across runs without it.

    `kind` is the Kubernetes kind (Pod, Node, Service), or another term (link, netns, sysctl).
    `part` narrows it down to an address, an interface or a port. `workload` is the owner of a
    pod (`Deployment/web`).
    """

    kind: str
    name: str
    namespace: str = ""
    part: str = ""
    uid: str = field(default="", compare=False)
    workload: str = field(default="", compare=False)

    def __str__(self) -> str:
        """Return the name as in reports: `Pod shop/web-0 eth0`."""
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return " ".join(word for word in (self.kind, place, self.part) if word)

    @property
    def object_key(self) -> tuple[str, str, str]:
        """Return (kind, namespace, name), as in the API."""
        return (self.kind, self.namespace, self.name)


@dataclass(frozen=True, slots=True)
class Since:
    """Since when a finding exists: `at`, in seconds since the epoch, and the fact that shows it."""

    at: float
    by: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """What a failed probe sent: its path can be traced."""

    address: str
    port: int
    protocol: str
    """`tcp` or `udp`."""
    source: Ref | None = None
    """The pod that sent it; None for the node itself."""
    is_refused: bool = False
    """Whether something refused it, so that packets in both directions arrived."""


class Subject(Protocol):
    """An object that a finding can be about."""

    @property
    def ref(self) -> Ref:
        """Return the object's name."""
        ...


@dataclass(frozen=True, slots=True, init=False)
class Finding:
    """One deviation of one object.

    `concerns` are further objects that the finding depends on. If one of them, or the subject,
    changed during the check, the finding is inconclusive in that round.
    `inconclusive` names a legitimate cause, such as an egress policy. If it is not empty, the
    subject is not evaluated but counted under that name.
    `key` distinguishes several findings about one subject if `expected` does not.
    `names` are values for the remedy's placeholders (see `remedies`).
    `remedy` replaces the check's where that one does not fit this finding.
    `since` is for findings whose beginning a fact shows, such as a time in the kernel log.
    `sent` is what a failed probe sent, so that the finding can say where it was lost.
    `settled` is for findings that no change in flight explains: one round is enough for them.
    """

    subject: Ref
    expected: str
    found: str
    level: Level
    evidence: tuple[str, ...]
    concerns: tuple[Ref, ...]
    inconclusive: str
    key: str
    names: tuple[tuple[str, str], ...]
    remedy: str
    since: Since | None
    sent: Unanswered | None
    settled: bool

    def __init__(
        self,
        subject: Subject | Ref,
        *,
        expected: object,
        found: object,
        level: Level = Level.FAIL,
        evidence: Iterable[str] = (),
        concerns: Iterable[Subject | Ref] = (),
        inconclusive: str = "",
        key: str = "",
        names: Mapping[str, str] | None = None,
        remedy: str = "",
        since: Since | None = None,
        sent: Unanswered | None = None,
        settled: bool = False,
    ) -> None:
        put = object.__setattr__
        put(self, "subject", subject if isinstance(subject, Ref) else subject.ref)
        put(self, "expected", phrase(expected))
        put(self, "found", phrase(found))
        put(self, "level", level)
        put(self, "evidence", tuple(evidence))
        put(self, "concerns", tuple(c if isinstance(c, Ref) else c.ref for c in concerns))
        put(self, "inconclusive", inconclusive)
        put(self, "key", key)
        put(self, "names", tuple((names or {}).items()))
        put(self, "remedy", remedy)
        put(self, "since", since)
        put(self, "sent", sent)
        put(self, "settled", settled)

    @property
    def identity(self) -> tuple[Ref, str, str]:
        """Return what must be the same in every round for the finding to count."""
        return (self.subject, self.subject.uid, self.key or self.expected)


class NotApplicable(Exception):  # noqa: N818 - a reason to skip, not an error
    """The check does not apply here; says why. Raised by the check or by the model."""


class FactMissingError(Exception):
    """A fact that a check needs was not read or not recognised; says which, and what to do."""


class SharedCauseError(FactMissingError):
    """A fact that many checks of the node need. Only one of them reports it as an error."""


class Conclusive(Enum):
    """What a check yields for an object that it could decide, and that is as expected."""

    CONCLUSIVE = "conclusive"


CONCLUSIVE = Conclusive.CONCLUSIVE

Findings = Iterator[Finding | Conclusive]
"""What a check yields."""


def phrase(value: object) -> str:
    """Return `value` as text: the sorted members of a collection, or `nothing` if it is empty."""
    if isinstance(value, Set | tuple | list):
        return ", ".join(sorted(str(member) for member in value)) or "nothing"
    return str(value)
