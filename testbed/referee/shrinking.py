"""The smallest scene that still shows a disagreement: delta debugging over the objects."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from testbed.referee.random_scenes import SENTINEL
from testbed.referee.scene import Object, Scene

Thing = TypeVar("Thing")
Shows = Callable[[Scene], bool]

_OPTIONAL = (
    "externalIPs",
    "loadBalancerSourceRanges",
    "sessionAffinity",
    "trafficDistribution",
    "publishNotReadyAddresses",
)


def smallest(scene: Scene, shows: Shows, budget: int = 80) -> Scene:
    """A scene from which nothing more can be taken; at most `budget` scenes are tried.

    `shows` tells whether a scene shows the disagreement; it must show it for `scene`.
    """
    tried = 0

    def still(candidate: Scene) -> bool:
        nonlocal tried
        tried += 1
        return tried <= budget and shows(candidate)

    own = [each for each in scene.services if each["metadata"]["name"] != SENTINEL]
    sentinel = [each for each in scene.services if each["metadata"]["name"] == SENTINEL]
    kept = fewest(own, lambda some: still(_with_services(scene, (*some, *sentinel))))
    scene = _with_services(scene, (*kept, *sentinel))
    is_smaller = True
    while is_smaller and tried < budget:
        is_smaller = False
        for candidate in reductions(scene):
            if still(candidate):
                scene, is_smaller = candidate, True
                break
    return scene


def fewest(things: Sequence[Thing], is_enough: Callable[[Sequence[Thing]], bool]) -> list[Thing]:
    """The least part of `things` that is enough, by trying halves, quarters and so on (ddmin)."""
    kept = list(things)
    size = max(1, len(kept) // 2)
    while kept:
        for start in range(0, len(kept), size):
            chunk, rest = kept[start : start + size], kept[:start] + kept[start + size :]
            if len(chunk) < len(kept) and is_enough(chunk):
                kept, size = chunk, max(1, len(chunk) // 2)
                break
            if is_enough(rest):
                kept, size = rest, max(1, min(size, len(rest) // 2))
                break
        else:
            if size == 1:
                break
            size //= 2
    return kept


def _with_services(scene: Scene, services: Sequence[Object]) -> Scene:
    """These Services only, with their EndpointSlices."""
    slices = tuple(each for service in services for each in scene.slices_of(service))
    return replace(scene, services=tuple(services), slices=slices)


def reductions(scene: Scene) -> Iterator[Scene]:
    """Every scene that has one thing less, the larger things first."""
    own = [each for each in scene.slices if not each["metadata"]["name"].startswith(SENTINEL)]
    for slice_ in own:
        yield replace(scene, slices=tuple(each for each in scene.slices if each is not slice_))
    for slice_ in own:
        for path in _parts_of_slice(slice_):
            yield _without(scene, slice_, path)
    for service in scene.services:
        if service["metadata"]["name"] != SENTINEL:
            for path in _parts_of_service(service):
                yield _without(scene, service, path)


def _parts_of_slice(slice_: Object) -> Iterator[tuple[Any, ...]]:
    for kind in ("endpoints", "ports"):
        for at in range(len(slice_[kind])):
            yield kind, at
    for at, endpoint in enumerate(slice_["endpoints"]):
        for field in ("hints", "zone", "nodeName"):
            if field in endpoint:
                yield "endpoints", at, field


def _parts_of_service(service: Object) -> Iterator[tuple[Any, ...]]:
    spec = service["spec"]
    if len(spec.get("ports", ())) > 1:
        yield from (("spec", "ports", at) for at in range(len(spec["ports"])))
    ingress = service.get("status", {}).get("loadBalancer", {}).get("ingress", ())
    yield from (("status", "loadBalancer", "ingress", at) for at in range(len(ingress)))
    for field in ("externalIPs", "loadBalancerSourceRanges"):
        if len(spec.get(field, ())) > 1:
            yield from (("spec", field, at) for at in range(len(spec[field])))
    yield from (("spec", field) for field in _OPTIONAL if field in spec)
    yield from (("metadata", "annotations", key) for key in service["metadata"]["annotations"])


def _without(scene: Scene, changed: Object, path: tuple[Any, ...]) -> Scene:
    fresh = copy.deepcopy(changed)
    *way, last = path
    inner: Any = fresh
    for step in way:
        inner = inner[step]
    del inner[last]
    if last == "sessionAffinity":
        fresh["spec"].pop("sessionAffinityConfig", None)

    def swapped(objects: tuple[Object, ...]) -> tuple[Object, ...]:
        return tuple(fresh if each is changed else each for each in objects)

    return replace(scene, services=swapped(scene.services), slices=swapped(scene.slices))
