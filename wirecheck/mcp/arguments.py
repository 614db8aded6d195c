"""The arguments of each tool: their types, their bounds, and the schema that is announced."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Annotated, Any, Literal, TypeAlias

import msgspec
from msgspec import Meta

from wirecheck.run.request import RequestError

Word = Annotated[str, Meta(min_length=1, max_length=320)]
Words = Annotated[list[Word], Meta(max_length=50)]
Cursor = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=80,
        description="The cursor of the previous page: returns the next one. The other arguments "
        "are ignored then.",
    ),
]
Place = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1000,
        description="A snapshot, named relative to the folder of snapshots (see `list` with what: "
        "snapshots). Without it, the live cluster.",
    ),
]
Earlier = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=1000,
        description="A results.jsonl, the folder of a run, or a snapshot, named relative to the "
        "folder of snapshots.",
    ),
]


class Arguments(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every tool accepts."""

    cursor: Cursor | None = None


class ListArguments(Arguments, frozen=True):
    """Those of `list`."""

    what: Annotated[
        Literal["checks", "snapshots"],
        Meta(description="The checks, or the snapshots that can be named in other calls."),
    ] = "checks"
    words: Annotated[
        Words,
        Meta(description="Only matching checks: globs (services.*), groups (dns) or words (mtu)."),
    ] = []
    profile: Annotated[Word | None, Meta(description="Only the checks of this profile.")] = None
    long: Annotated[bool, Meta(description="Everything about each check, as `explain`.")] = False


class RunArguments(Arguments, frozen=True):
    """Those of `run`."""

    snapshot: Place | None = None
    checks: Annotated[
        Words, Meta(description="Only these checks: globs such as dns.* or whole groups.")
    ] = []
    profile: Annotated[Word | None, Meta(description="Only the checks of this profile.")] = None
    nodes: Annotated[Words, Meta(description="Only these nodes; globs.")] = []
    namespaces: Annotated[
        Words, Meta(description="Only findings about objects of these namespaces; globs.")
    ] = []
    rounds: (
        Annotated[int, Meta(ge=1, le=6, description="At most so many rounds; 1 for a snapshot.")]
        | None
    ) = None
    everything: Annotated[
        bool, Meta(description="Also the items that passed or were not applicable.")
    ] = False


class ExplainArguments(Arguments, frozen=True):
    """Those of `explain`."""

    check: Annotated[Word | None, Meta(description="The id of a check, such as dns.latency.")] = (
        None
    )


class InspectArguments(Arguments, frozen=True):
    """Those of `inspect`."""

    kind: Annotated[
        Literal["pod", "service", "node"] | None, Meta(description="The kind of the object.")
    ] = None
    name: Annotated[
        Word | None, Meta(description="NAMESPACE/NAME of a pod or a Service, NAME of a node.")
    ] = None
    node: Annotated[
        Word | None, Meta(description="Of a Service: only this node, with its rules.")
    ] = None
    snapshot: Place | None = None


class DiffArguments(Arguments, frozen=True):
    """Those of `diff`."""

    before: Earlier | None = None
    now: Earlier | None = None


Kind: TypeAlias = type[Arguments]

KINDS: dict[str, Kind] = {
    "list": ListArguments,
    "run": RunArguments,
    "explain": ExplainArguments,
    "inspect": InspectArguments,
    "diff": DiffArguments,
}
NEEDED = {"explain": ("check",), "inspect": ("kind", "name"), "diff": ("before", "now")}
"""What a call without a cursor must have."""


def schema_of(tool: str) -> dict[str, Any]:
    """The JSON Schema of the tool's arguments, without references."""
    kind = KINDS[tool]
    _, components = msgspec.json.schema_components([kind])
    schema: dict[str, Any] = components[kind.__name__]
    return {key: value for key, value in schema.items() if key not in ("title", "description")}


def read_arguments(tool: str, given: object) -> Arguments:
    """The arguments of a call. Raises RequestError with what is wrong with them."""
    try:
        read: Arguments = msgspec.convert({} if given is None else given, KINDS[tool])
    except (msgspec.ValidationError, RecursionError) as error:
        raise RequestError(f"The arguments of `{tool}` are wrong: {error}.") from None
    for text in _texts(msgspec.structs.asdict(read)):
        if any(unicodedata.category(character) in ("Cc", "Cs") for character in text):
            raise RequestError(f"An argument of `{tool}` has control characters.")
    missing = [name for name in NEEDED.get(tool, ()) if getattr(read, name) is None]
    if missing and read.cursor is None:
        raise RequestError(f"`{tool}` needs the argument {' and '.join(missing)}.")
    return read


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list):
        for each in value:
            yield from _texts(each)
