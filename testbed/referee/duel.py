"""One kube-proxy against what wirecheck expects, over many scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from itertools import islice

from testbed.commands import TestbedError
from testbed.referee.bench import Bench
from testbed.referee.judging import Sight
from testbed.referee.kube_proxy import Contestant, configs
from testbed.referee.node_object import of_version
from testbed.referee.place import Place
from testbed.referee.random_scenes import random_scenes
from testbed.referee.random_slices import with_numbers
from testbed.referee.scene import Object, Scene, steps

Places = Callable[[], AbstractContextManager[Place]]


@dataclass(frozen=True)
class Disagreement:
    """A scene that a kube-proxy made something else of than what is expected."""

    contestant: Contestant
    before: Scene | None
    """Where the API came from; None for nothing."""
    scene: Scene
    sight: Sight


@dataclass
class Score:
    """What came out for one version in one mode."""

    version: str
    mode: str
    seed: int
    services: int = 0
    """Different Services, each compared once at least."""
    by_family: dict[str, int] = field(default_factory=lambda: {"IPv4": 0, "IPv6": 0, "dual": 0})
    changes: int = 0
    """Of Services, EndpointSlices and the node, deletions included."""
    scenes: int = 0
    frontends: int = 0
    """Comparisons, summed over the scenes."""
    disagreements: int = 0


@dataclass(frozen=True, slots=True)
class Course:
    """How much is tried: Services in all, and new ones in each scene."""

    services: int
    size: int
    seed: int
    scenes_in_a_row: int = 2
    """By one kube-proxy, before one with another configuration starts."""


def play(
    bench: Bench, places: Places, version: str, mode: str, course: Course
) -> Iterator[tuple[Score, Sight, Disagreement | None]]:
    """Each scene as it is played, with the score so far."""
    score = Score(version, mode, course.seed)
    names = configs(mode, version)
    turn = 0
    while score.services < course.services:
        contestant = Contestant(version, mode, names[turn % len(names)])
        scenes = islice(
            random_scenes(course.seed + turn, course.size, contested=contestant.bears_contests),
            course.scenes_in_a_row,
        )
        with places() as place:
            for before, scene, sight in _played(bench, place, contestant, scenes):
                count(score, before, scene, sight.compared)
                wrong = None
                if sight.disagreements:
                    wrong = Disagreement(contestant, before, scene, sight)
                    score.disagreements += len(sight.disagreements)
                yield score, sight, wrong
        turn += 1


def _played(
    bench: Bench, place: Place, contestant: Contestant, scenes: Iterator[Scene]
) -> Iterator[tuple[Scene | None, Scene, Sight]]:
    bench.bring(None)
    for drawn in scenes:
        scene = _for(contestant, drawn)
        before = bench.scene
        bench.bring(scene)
        if before is None:
            bench.let_play(contestant, place)
        sight = bench.settled(place)
        refuse_nothing(scene, sight.compared)
        yield before, scene, sight


def _for(contestant: Contestant, drawn: Scene) -> Scene:
    """The scene as it can be played before this kube-proxy."""
    scene = replace(drawn, node=of_version(drawn.node, contestant.version))
    if contestant.bears_ports_without_number:
        return scene
    return replace(scene, slices=tuple(map(with_numbers, scene.slices)))


def refuse_nothing(scene: Scene, compared: int) -> None:
    """Raise TestbedError unless every ClusterIP was compared, counted without the model."""
    least = sum(
        len(each["spec"]["clusterIPs"]) * len(each["spec"]["ports"])
        for each in scene.services
        if is_proxied(each)
    )
    if compared < least:
        raise TestbedError(f"only {compared} frontends were compared, not {least} or more")


def is_proxied(service: Object) -> bool:
    """Whether it has an address that kube-proxy serves."""
    is_left_alone = "service.kubernetes.io/service-proxy-name" in service["metadata"]["labels"]
    return service["spec"].get("clusterIP", "None") != "None" and not is_left_alone


def count(score: Score, before: Scene | None, scene: Scene, compared: int) -> None:
    """Add a scene, with the number of frontends that were compared, to the score."""
    old = {each["metadata"]["name"] for each in before.services} if before else set()
    fresh = [each for each in scene.services if each["metadata"]["name"] not in old]
    score.services += len(fresh)
    for each in fresh:
        families = each["spec"].get("ipFamilies", [])
        if families and is_proxied(each):
            score.by_family["dual" if len(families) > 1 else families[0]] += 1
    score.changes += len(tuple(steps(before, scene)))
    score.scenes += 1
    score.frontends += compared
