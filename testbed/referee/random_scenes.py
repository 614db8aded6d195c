"""One random state of the API after the other: Services come, change and go."""

from __future__ import annotations

import re
from collections.abc import Iterator

from testbed.referee.dice import Dice
from testbed.referee.node_object import random_node
from testbed.referee.random_services import changed_service, cluster_ip, new_service
from testbed.referee.random_slices import random_slices
from testbed.referee.scene import Object, Scene, metadata

SENTINEL = "sentinel"
"""A Service that is another one in each state: where it is programmed, all else is as well."""

_SENTINEL_NUMBER = 0
_STAYS, _GOES = 0.3, 0.4


def random_scenes(seed: int, size: int, *, contested: bool = True) -> Iterator[Scene]:
    """Without end; each brings `size` new Services, and changes or deletes older ones."""
    dice = Dice(seed, contested=contested)
    scene = Scene(random_node(dice))
    turn = 0
    while True:
        scene = _next(dice, scene, size, turn)
        yield scene
        turn += 1


def _next(dice: Dice, before: Scene, size: int, turn: int) -> Scene:
    node = random_node(dice) if dice.chance(0.5) else before.node
    services: list[Object] = []
    slices: list[Object] = []
    for service in before.services:
        if service["metadata"]["name"] == SENTINEL:
            continue
        fate = dice.random()
        own = before.slices_of(service)
        if fate > _STAYS + _GOES:
            service = changed_service(dice, service, _number(service))  # noqa: PLW2901
            own = random_slices(dice, service) if dice.chance(0.7) else own
        elif fate > _STAYS:
            continue
        services.append(service)
        slices += own
    for number in _free_numbers({_number(each) for each in services}, size):
        fresh = new_service(dice, f"s{turn}-{number}", number)
        services.append(fresh)
        slices += random_slices(dice, fresh)
    sentinel = _sentinel(turn)
    return Scene(node, (*services, sentinel), (*slices, *_sentinel_slices(turn)))


def _number(service: Object) -> int:
    found = re.fullmatch(r"s\d+-(\d+)", service["metadata"]["name"])
    assert found
    return int(found[1])


def _free_numbers(taken: set[int], count: int) -> Iterator[int]:
    """The smallest first: addresses and ports of what has gone are given out again."""
    number = _SENTINEL_NUMBER
    while count:
        number += 1
        if number not in taken:
            yield number
            count -= 1


def _sentinel(turn: int) -> Object:
    addresses = [cluster_ip(_SENTINEL_NUMBER, family) for family in (4, 6)]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(SENTINEL),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": addresses[0],
            "clusterIPs": addresses,
            "ipFamilies": ["IPv4", "IPv6"],
            "ipFamilyPolicy": "RequireDualStack",
            "ports": [{"port": 1 + turn % 60000, "protocol": "TCP"}],
        },
    }


def _sentinel_slices(turn: int) -> Iterator[Object]:
    high, low = divmod(turn, 250)
    for family, address in (
        (4, f"10.244.{100 + high % 100}.{low + 2}"),
        (6, f"fd00:5e::{turn + 1:x}"),
    ):
        yield {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": metadata(f"{SENTINEL}-{family}", {"kubernetes.io/service-name": SENTINEL}),
            "addressType": f"IPv{family}",
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}}],
            "ports": [{"name": "", "port": 8080, "protocol": "TCP"}],
        }
