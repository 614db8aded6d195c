"""Fields of API objects that were left out, or that Kubernetes reads as something else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from wirecheck.catalogue.findings import Ref
from wirecheck.snapshot.api_objects import OddField
from wirecheck.snapshot.objects.metadata import Metadata
from wirecheck.text import shortened

RESOURCES = {
    "Node": "node",
    "Pod": "pod",
    "Service": "service",
    "EndpointSlice": "endpointslice",
    "NetworkPolicy": "networkpolicy",
    "DaemonSet": "daemonset",
}
MOST = 500
"""Fields that are reported."""
LONGEST_FOUND = 80


def odd_field(kind: str, meta: Metadata, field: str, found: str, read_as: str = "") -> OddField:
    """The record of one field, with its value shortened."""
    shown = shortened(found, LONGEST_FOUND)
    return OddField(kind, meta.name, field, shown, meta.namespace, meta.uid, read_as)


@dataclass(frozen=True, slots=True)
class OddFieldSeen:
    """One such field."""

    field: OddField

    @property
    def ref(self) -> Ref:
        """The object, with the name of the field."""
        each = self.field
        return Ref(each.kind, each.name, each.namespace, each.field, uid=each.uid)

    @property
    def expected(self) -> str:
        """What the field should have, or how it should be written."""
        return self.field.read_as or "a valid value"

    @property
    def found(self) -> str:
        """The value, and what becomes of it."""
        if self.field.read_as:
            return f"{self.field.found}, which Kubernetes reads as {self.field.read_as}"
        return f"{self.field.found!r}, which is not checked"

    @property
    def resource(self) -> str:
        """The name of the object's kind for kubectl."""
        return RESOURCES.get(self.field.kind, self.field.kind.lower())

    @property
    def remedy(self) -> str:
        """The remedy for an object without a namespace; empty for the usual one."""
        return (
            "" if self.field.namespace else "Correct the field: `kubectl edit {resource} {object}`."
        )


def odd_fields(fields: Iterable[OddField]) -> Iterator[OddFieldSeen]:
    """Yield the fields, each once."""
    for each in list(dict.fromkeys(fields))[:MOST]:
        yield OddFieldSeen(each)
