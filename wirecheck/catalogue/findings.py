"""What a check says: findings about objects, and the outcome that follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Level(StrEnum):
    """How bad one finding is."""

    FAIL = "fail"
    """The cluster is wrong."""
    ERROR = "error"
    """Could not look, or could not understand what was seen."""
    WARN = "warn"
    """It holds today, but it is a risk or a leak."""


class Outcome(StrEnum):
    """How one check on one node, or on the cluster, ended."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    ERROR = "error"
    SKIP = "skip"
    WAIVED = "waived"
    KNOWN = "known"


@dataclass(frozen=True, slots=True, order=True)
class Ref:
    """The name of an object: exact within a run by `uid`, comparable across runs without it.

    `kind` is Kubernetes' own word where the object is one (Pod, Node, Service), else the
    word of the vocabulary (link, netns, sysctl). `part` narrows it down: an address, an
    interface, a port. `workload` is what made a pod (`Deployment/web`).
    """

    kind: str
    name: str
    namespace: str = ""
    part: str = ""
    uid: str = field(default="", compare=False)
    workload: str = field(default="", compare=False)

    def __str__(self) -> str:
        """`Pod shop/web-0 eth0`."""
        place = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return " ".join(word for word in (self.kind, place, self.part) if word)

    @property
    def object_key(self) -> tuple[str, str, str]:
        """(kind, namespace, name): what the API calls the object."""
        return (self.kind, self.namespace, self.name)


class Subject(Protocol):
    """Anything that a finding can be about."""

    @property
    def ref(self) -> Ref:
        """The object's name."""
        ...


@dataclass(frozen=True, slots=True, init=False)
class Finding:
    """One deviation of one object.

    `concerns` are further objects on which the finding rests: if one of them, or the
    subject itself, changed while it was looked at, the finding is undecided for that look.
    `unless` names what may rightly be the cause (an egress policy): where it is not empty,
    the subject is not judged but counted under that name.
    `key` tells apart several findings about one subject when `expected` does not.
    """

    subject: Ref
    expected: str
    found: str
    level: Level
    evidence: tuple[str, ...]
    concerns: tuple[Ref, ...]
    unless: str
    key: str
    names: tuple[tuple[str, str], ...]

    def __init__(
        self,
        subject: Subject | Ref,
        *,
        expected: object,
        found: object,
        level: Level = Level.FAIL,
        evidence: Iterable[str] = (),
        concerns: Iterable[Subject | Ref] = (),
        unless: str = "",
        key: str = "",
        names: Mapping[str, str] | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "subject", subject if isinstance(subject, Ref) else subject.ref)
        put(self, "expected", phrase(expected))
        put(self, "found", phrase(found))
        put(self, "level", level)
        put(self, "evidence", tuple(evidence))
        put(self, "concerns", tuple(c if isinstance(c, Ref) else c.ref for c in concerns))
        put(self, "unless", unless)
        put(self, "key", key)
        put(self, "names", tuple((names or {}).items()))

    @property
    def identity(self) -> tuple[Ref, str, str]:
        """What must be the same in every look for the finding to count."""
        return (self.subject, self.subject.uid, self.key or self.expected)


class NotApplicable(Exception):  # noqa: N818 - a reason to skip, not an error
    """Raised by a check, or by the model on its behalf: it does not apply here; the reason."""


class FactMissingError(Exception):
    """A fact that a check needs was not seen or not understood; says which and what to do."""


Findings = Iterator[Finding]


def phrase(value: object) -> str:
    """Words for `value`: a set or sequence becomes its sorted members, an empty one `nothing`."""
    if isinstance(value, Set | tuple | list):
        return ", ".join(sorted(str(member) for member in value)) or "nothing"
    return str(value)
