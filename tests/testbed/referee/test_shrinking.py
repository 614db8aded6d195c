"""The smallest scene that still shows something."""

from itertools import islice

from testbed.referee.random_scenes import SENTINEL, random_scenes
from testbed.referee.scene import Scene
from testbed.referee.shrinking import fewest, reductions, smallest


def test_the_fewest_things_are_found_wherever_they_are():
    tried = []

    def is_enough(things):
        tried.append(things)
        return {17, 58} <= set(things)

    assert sorted(fewest(range(64), is_enough)) == [17, 58]
    assert len(tried) < 100


def test_nothing_is_left_where_nothing_is_needed():
    assert fewest([1, 2, 3], lambda _: True) == []


def affine(scene: Scene) -> list[str]:
    return [
        each["metadata"]["name"]
        for each in scene.services
        if each["spec"].get("sessionAffinity") == "ClientIP" and scene.slices_of(each)
    ]


def test_a_scene_shrinks_to_one_service_with_what_matters():
    (scene,) = islice(random_scenes(3, 20), 1)
    assert len(affine(scene)) > 1

    small = smallest(scene, lambda candidate: bool(affine(candidate)), budget=500)

    names = [each["metadata"]["name"] for each in small.services]
    assert len(names) == 2
    assert SENTINEL in names
    (name,) = affine(small)
    (service,) = [each for each in small.services if each["metadata"]["name"] == name]
    assert len(service["spec"]["ports"]) == 1
    assert "externalIPs" not in service["spec"]
    (slice_,) = small.slices_of(service)
    assert slice_["endpoints"] == []


def test_a_reduction_leaves_the_scene_alone():
    (scene,) = islice(random_scenes(3, 5), 1)
    before = repr(scene)
    count = sum(1 for _ in reductions(scene))
    assert count > 20
    assert repr(scene) == before


def test_shrinking_ends_with_its_budget():
    (scene,) = islice(random_scenes(3, 20), 1)
    tried = []

    def shows(candidate):
        tried.append(candidate)
        return bool(affine(candidate))

    smallest(scene, shows, budget=10)
    assert len(tried) == 10
