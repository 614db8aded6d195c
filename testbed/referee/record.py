"""Sights on disk: what a seed found stays a test."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import msgspec

from testbed.referee.judging import Sight
from testbed.referee.kube_proxy import NODE
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.blocks import named, whole
from wirecheck.snapshot.node_document import Host, NodeDocument
from wirecheck.snapshot.objects.endpoint_slice import EndpointSliceObject


def write(sight: Sight, path: Path) -> None:
    """Write the API's objects and the node's document, without what is the machine's own."""
    document = msgspec.structs.replace(
        sight.document,
        host=Host(NODE),
        namespaces=sight.document.namespaces[:1],
        pods=[],
        kernel_log=[],
    )
    record = {
        "api": msgspec.to_builtins(sight.api),
        "document": msgspec.to_builtins(named(document)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    # Without a time: the same sight gives the same file.
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def without_slices(sight: Sight, kept: list[EndpointSliceObject]) -> Sight:
    """The same node, beside an API with fewer EndpointSlices."""
    return Sight(msgspec.structs.replace(sight.api, endpoint_slices=kept), sight.document)


def read(path: Path) -> Sight:
    """A sight that `write` has written."""
    record: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    return Sight(
        msgspec.convert(record["api"], ApiObjects),
        whole(msgspec.convert(record["document"], NodeDocument)),
    )
