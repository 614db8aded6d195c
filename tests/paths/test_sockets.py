"""Cilium's socket load balancing: recorded maps choose the backend before a packet is sent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.changed_recordings import Document
from tests.cilium_with_maps import with_maps
from wirecheck.inspect.scene import Scene
from wirecheck.inspect.trace import destination, trace_view
from wirecheck.inspect.trace_view import PathView
from wirecheck.paths.ends import named
from wirecheck.snapshot.folder import Snapshot

__all__ = ["with_maps"]

POD, DNS = "pod/shop/db-1", "service/kube-system/kube-dns:dns"
Make = Callable[..., Path]


def traced(folder: Path, source: str, to: str, port: str = "") -> list[PathView]:
    scene = Scene(Snapshot.open(folder))
    start = named(source)
    view = trace_view(scene, start, destination(scene.cluster, start, named(to), port, ""))
    return list(view.paths)


def test_the_socket_connects_to_each_backend_with_its_share(with_maps: Make) -> None:
    folder = with_maps("healthy")
    for source in (POD, "node/td-w1"):
        paths = traced(folder, source, DNS)

        first = [each.there.hops[0] for each in paths]
        assert {each.share for each in paths} == {0.5}
        assert {each.stage for each in first} == {"socket"}
        assert {each.text for each in first} == {
            "it connects to 10.244.1.15:53",
            "it connects to 10.244.2.172:53",
        }
        assert first[0].lines[0] == "cilium_lb4_services: 10.96.0.10:53/udp, 2 backends"
        assert {each.result for each in paths} == {"cannot be decided"}  # by the device's program


def test_a_service_without_backends_rejects(with_maps: Make) -> None:
    (path,) = traced(with_maps("healthy"), POD, "service/shop/empty")

    assert path.result == "dies"
    assert path.reason == "rejected: the Service has no backend"
    assert path.decisive is not None
    assert path.decisive.lines == ["cilium_lb4_services: 10.96.32.159:80/tcp, 0 backends"]


def test_a_service_that_the_maps_lack_is_not_translated(with_maps: Make) -> None:
    (path,) = traced(with_maps("entry-deleted"), POD, "service/shop/web")

    assert path.there.hops[0].stage == "routing"
    assert path.there.packet.endswith(" > 10.96.107.131:80")
    assert path.result == "cannot be decided"


@pytest.mark.parametrize(("to", "stage"), [(DNS, "socket"), ("pod/shop/db-0", "ingress of")])
def test_maps_that_were_not_read(with_maps: Make, to: str, stage: str) -> None:
    """What a Service gets is not known; other connections are not translated."""

    def unread(_: str, document: Document) -> None:
        document["ebpf"] = {"byte_order": "little", "problem": "bpf: Operation not permitted"}

    (path,) = traced(with_maps("healthy", unread), POD, to)

    assert path.decisive is not None
    assert path.result == "cannot be decided"
    assert path.decisive.stage.startswith(stage)
