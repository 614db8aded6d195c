"""Scenes on disk, with what was read of them: what a seed found stays a test."""

from __future__ import annotations

import gzip
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec

from testbed.enforcer_referee.comparing import Comparison
from testbed.enforcer_referee.scenes import NODE, PolicyScene
from testbed.referee.judging import Sight
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.node_document import Host, NodeDocument

COMMANDS = ("iptables-nft-save", "ipset-save")


def write(seen: Comparison, path: Path) -> None:
    """Write a scene, the API's objects and the node's document, without what is the machine's."""
    document = seen.sight.document
    kept = msgspec.structs.replace(
        document,
        host=Host(NODE),
        namespaces=document.namespaces[:1],
        pods=[],
        kernel_log=[],
        commands={
            name: each
            for name, each in document.commands.items()
            if name in COMMANDS or "tables" in name
        },
    )
    record = {
        "scene": asdict(seen.scene),
        "api": msgspec.to_builtins(seen.sight.api),
        "document": msgspec.to_builtins(kept),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    data = json.dumps(record, sort_keys=True, separators=(",", ":")).encode()
    # Without a time: the same scene gives the same file.
    path.write_bytes(gzip.compress(data, 9, mtime=0))


def read(path: Path) -> Comparison:
    """A scene that `write` has written."""
    record: dict[str, Any] = json.loads(gzip.decompress(path.read_bytes()))
    scene = record["scene"]
    return Comparison(
        PolicyScene(
            tuple(scene["namespaces"]),
            tuple(scene["pods"]),
            tuple(scene["policies"]),
            scene["number"],
        ),
        Sight(
            msgspec.convert(record["api"], ApiObjects),
            msgspec.convert(record["document"], NodeDocument),
        ),
    )
