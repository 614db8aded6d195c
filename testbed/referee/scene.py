"""What the referee's API holds at one time, and the way from one such state to the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Object = dict[str, Any]
Action = Literal["create", "replace", "delete"]

NAMESPACE = "random"


@dataclass(frozen=True)
class Scene:
    """One node, Services and EndpointSlices: the objects as they are sent to the API."""

    node: Object
    services: tuple[Object, ...] = ()
    slices: tuple[Object, ...] = ()

    @property
    def objects(self) -> tuple[Object, ...]:
        return (self.node, *self.services, *self.slices)

    def slices_of(self, service: Object) -> tuple[Object, ...]:
        """The EndpointSlices that name the Service as theirs."""
        name = service["metadata"]["name"]
        return tuple(each for each in self.slices if service_of(each) == name)


class State(Protocol):
    """What an API holds at one time."""

    @property
    def objects(self) -> Sequence[Object]:
        """In the order in which they are written."""


@dataclass(frozen=True)
class Step:
    """One change of one object."""

    action: Action
    object: Object


def steps(before: State | None, after: State) -> Iterator[Step]:
    """What leads from one state to the other.

    What goes away comes first: its addresses and ports may be given to what comes.
    """
    old = {key_of(each): each for each in before.objects} if before else {}
    new = {key_of(each): each for each in after.objects}
    for key, each in old.items():
        if key not in new:
            yield Step("delete", each)
    for key, each in new.items():
        if key not in old:
            yield Step("create", each)
        elif each != old[key]:
            yield Step("replace", each)


def key_of(each: Object) -> tuple[str, str, str]:
    """Kind, namespace and name."""
    return each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]


def service_of(slice_: Object) -> str:
    """The Service that an EndpointSlice belongs to."""
    name: str = slice_["metadata"]["labels"].get("kubernetes.io/service-name", "")
    return name


def metadata(name: str, labels: dict[str, str] | None = None) -> Object:
    """The metadata of an object of the random namespace."""
    return {"name": name, "namespace": NAMESPACE, "labels": labels or {}, "annotations": {}}
