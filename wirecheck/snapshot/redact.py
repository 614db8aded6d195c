"""Redacts a snapshot for others: replaces names, addresses and images everywhere.

An object has the same replacement everywhere, so the redacted snapshot gives the same verdicts.
docs/inspect.md lists what stays. The key is generated for one redaction and stored nowhere, so
replacements cannot be reversed, and two redactions cannot be compared.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import msgspec

from wirecheck.addresses import IPNetwork, network
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.blocks import named
from wirecheck.snapshot.folder import Snapshot, SnapshotError, SnapshotWriter, refuse_occupied
from wirecheck.snapshot.index import RoundRecord, SnapshotIndex
from wirecheck.snapshot.node_document import NodeDocument
from wirecheck.snapshot.redact_addresses import AddressMap
from wirecheck.snapshot.redact_fields import Fields
from wirecheck.snapshot.redact_names import NameMap, PluginNames
from wirecheck.snapshot.redact_text import TextMap

RANGE = re.compile(r"(?<![0-9a-fA-F.:])[0-9a-fA-F.:]+/\d{1,3}")


@dataclass(frozen=True, slots=True)
class Dictionary:
    """The mapping of originals to replacements: as confidential as the original."""

    nodes: dict[str, str]
    names: dict[str, str]
    addresses: dict[str, str]


def redact(
    snapshot: Snapshot,
    folder: Path,
    plugins: PluginNames,
    key: bytes | None = None,
    forced: Iterable[str] = (),
) -> Dictionary:
    """Write the redacted snapshot to the new folder; returns the replacements.

    `plugins` are the names that CNI plugins use in every cluster. `key` is for tests. `forced` are
    words that are replaced although wirecheck knows them.
    Raises SnapshotError if a part cannot be read or written, and RedactionError if it cannot be
    redacted without changing verdicts.
    """
    refuse_occupied(folder)
    if not snapshot.index.looks:
        raise SnapshotError(f"The snapshot {snapshot.path} has no complete round to redact.")
    numbers = snapshot.numbers
    apis = {number: snapshot.api(number) for number in numbers}
    secret = key or secrets.token_bytes(32)
    ranges = [range_ for api in apis.values() for range_ in _ranges(api)]
    names = NameMap(secret, plugins)
    addresses = AddressMap(secret, ranges)
    fields = Fields(TextMap(addresses, names, plugins.devices, forced))
    # The objects of every round come first: texts are searched for their names.
    mapped = {number: cast(ApiObjects, fields.struct(api)) for number, api in apis.items()}
    nodes = {node.metadata.name for api in apis.values() for node in api.nodes}
    nodes |= {name for number in numbers for name in snapshot.record(number).visits}
    renamed = {name: names.domain(name) for name in sorted(nodes)}
    writer = SnapshotWriter(folder, _without_rounds(fields, snapshot.index))
    for number in numbers:
        writer.write_api(number, mapped[number])
        for name in snapshot.node_names(number):
            document = cast(NodeDocument, fields.struct(snapshot.document(name, number)))
            writer.write_document(number, renamed[name], msgspec.json.encode(named(document)))
        record = fields.struct(snapshot.record(number))
        writer.finish_round(cast(RoundRecord, record), before=number == 0)
    return Dictionary(renamed, dict(names.known), dict(addresses.known))


def _without_rounds(fields: Fields, index: SnapshotIndex) -> SnapshotIndex:
    empty = msgspec.structs.replace(index, looks=[], before=None)
    return cast(SnapshotIndex, fields.struct(empty))


def _ranges(api: ApiObjects) -> Iterator[IPNetwork]:
    """The pod CIDRs: overlays and bridges use their network addresses."""
    texts = [text for node in api.nodes for text in (node.spec.pod_cidr, *node.spec.pod_cidrs)]
    texts += [
        found
        for each in api.config_maps
        for text in each.data.values()
        for found in RANGE.findall(text)
    ]
    for text in texts:
        try:
            yield network(text)
        except ValueError:
            continue
