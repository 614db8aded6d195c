"""The snapshot's folder on disk: an index, and compressed JSON for each round and node.

A snapshot may come from anywhere, so nothing in it is trusted: file names are derived from node
names, only regular files are opened, and their decompressed size is limited.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
import stat
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from weakref import WeakValueDictionary

import msgspec
from msgspec import Struct

from wirecheck.snapshot import node_document
from wirecheck.snapshot.api_objects import ApiObjects
from wirecheck.snapshot.blocks import MissingBlockError, TextStore, digest_of, restored
from wirecheck.snapshot.index import FORMAT, RoundRecord, SnapshotIndex
from wirecheck.snapshot.node_document import NodeDocument
from wirecheck.snapshot.values import has_too_many_values
from wirecheck.whole_file import refuse_unwritable_folder, write_whole

INDEX = "snapshot.json"
MEBIBYTE = 1 << 20
LARGEST_INDEX = 256 * MEBIBYTE
LARGEST_API = 2048 * MEBIBYTE
"""The size limit of API objects: several times 150,000 pods of about 1.5 kB each."""
LARGEST_DOCUMENT = 256 * MEBIBYTE
"""iptables-save of a node in a cluster with 10,000 Services has 12 MB."""

MOST_KNOWN_BLOCKS = 100_000
"""Of those stored, the ones used last; an older one would only be stored again."""

LATEST = 253_402_300_799
"""The end of the year 9999 in seconds since the epoch: Python has no later date."""

PRIVATE_FOLDER, PRIVATE_FILE = 0o700, 0o600
"""A snapshot shows everything about a cluster's network: nobody else may read it."""

Content = TypeVar("Content", bound=Struct)
Identity = tuple[str, int, int, int]


class SnapshotError(Exception):
    """The snapshot or one of its files cannot be used. The message has the next step."""


class SnapshotPathError(SnapshotError):
    """The path that the user named is not a snapshot, or cannot become one."""


def refuse_occupied(folder: Path) -> None:
    """Raise SnapshotPathError unless a snapshot can be written to the new or empty `folder`."""
    try:
        if (folder / INDEX).exists():
            raise SnapshotPathError(f"{folder} contains a snapshot already; name another folder.")
        refuse_unwritable_folder(folder)
        occupied = folder.is_dir() and any(folder.iterdir())
    except OSError as error:
        raise SnapshotPathError(
            f"A snapshot cannot be written to {folder}: {error.strerror}; name another folder."
        ) from None
    if occupied:
        raise SnapshotPathError(f"{folder} is not empty; name a new folder.")


class _NamedBy(Struct, frozen=True):
    blocks: list[str] = []


class _Named(Struct, frozen=True):
    """The blocks that a document's commands name."""

    commands: dict[str, _NamedBy] = {}


_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_CONTENTS = msgspec.json.Decoder(dict[str, str])
_NAMED = msgspec.json.Decoder(_Named)


class _Version(Struct, frozen=True):
    format: int
    wirecheck: str = ""
    program: str = ""


class SharedContent:
    """What the readers of one snapshot share while it is in use.

    The API objects of a large cluster take more memory than anything else, and nodes have most of
    their rules in common.
    """

    def __init__(self) -> None:
        self.api: WeakValueDictionary[Identity, ApiObjects] = WeakValueDictionary()
        self.texts = TextStore()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A snapshot for reading; each call reads its file again."""

    path: Path
    index: SnapshotIndex
    shared: SharedContent = field(default_factory=SharedContent, repr=False, compare=False)

    @classmethod
    def open(cls, path: Path, shared: SharedContent | None = None) -> Snapshot:
        """The snapshot in the folder `path` (or of the index file `path`).

        `shared` is that of the same snapshot when it had fewer rounds.
        Raises SnapshotError: not a snapshot, broken, or written by a newer wirecheck.
        """
        folder = path.parent if path.name == INDEX else path
        file = folder / INDEX
        if why := _why_not_a_file(file):
            raise SnapshotPathError(
                f"{folder} is not a snapshot: it {why}; name the snapshot folder of a run."
            )
        raw = _read(file, LARGEST_INDEX)
        version = _decoded(raw, _Version, file)
        _refuse_newer(file, version.format, FORMAT, version.wirecheck)
        index = _decoded(raw, SnapshotIndex, file)
        if not 0 <= index.time <= LATEST:
            raise SnapshotError(
                f"{file} has an impossible time ({index.time:g}); copy the snapshot again, "
                "or take a new one."
            )
        return cls(folder, index, shared or SharedContent())

    def api(self, number: int = 1) -> ApiObjects:
        """The API objects of a round, counted from 1. Raises SnapshotError if they are broken."""
        self.record(number)
        file = self.path / _api_file(number)
        identity = _identity(file)
        held = self.shared.api.get(identity)
        if held is None:
            held = _decoded(_unpacked(file, LARGEST_API), ApiObjects, file)
            self.shared.api[identity] = held
        return held

    def document(self, node: str, number: int = 1) -> NodeDocument:
        """The document of the visit to `node`. Raises SnapshotError if it is broken."""
        self.record(number)
        file = self.path / _document_file(number, node)
        raw = _unpacked(file, LARGEST_DOCUMENT)
        if has_too_many_values(raw):
            raise SnapshotError(f"{file} has more values than any node; copy the snapshot again.")
        try:
            found = _decoded(raw, NodeDocument, file)
        except SnapshotError:
            version = _decoded(raw, _Version, file)
            _refuse_newer(file, version.format, node_document.FORMAT, version.program)
            raise
        _refuse_newer(file, found.format, node_document.FORMAT, found.program)
        return restored(found, self._block, self.shared.texts)

    def _block(self, digest: str) -> str:
        """The text of a block. Raises MissingBlockError."""
        try:
            file = self.path / _block_file(digest)
            text = _unpacked(file, LARGEST_DOCUMENT).decode(errors="replace")
        except SnapshotError as error:
            raise MissingBlockError(str(error)) from None
        if digest_of(text) != digest:
            raise MissingBlockError(
                f"{file} does not match the digest in its name; copy the snapshot again."
            )
        return text

    def node_names(self, number: int = 1) -> list[str]:
        """The nodes that were reached in a round, so that they have a document."""
        visits = self.record(number).visits
        return sorted(name for name, visit in visits.items() if visit.status.reached)

    @property
    def numbers(self) -> list[int]:
        """The numbers of all rounds; 0 is the one before helper pods were created."""
        before = [0] if self.index.before else []
        return before + list(range(1, len(self.index.looks) + 1))

    def record(self, number: int) -> RoundRecord:
        """The record of a round. Raises SnapshotError if there is none."""
        if number == 0 and self.index.before:
            return self.index.before
        looks = self.index.looks
        if not looks:
            raise SnapshotError(
                f"The snapshot {self.path} has no complete round: the run was interrupted in its "
                "first one; run it again."
            )
        if not 1 <= number <= len(looks):
            raise SnapshotError(f"The snapshot {self.path} has {len(looks)} rounds, not {number}.")
        return looks[number - 1]


class SnapshotWriter:
    """Writes a snapshot. At any time the index lists complete rounds only."""

    def __init__(self, path: Path, index: SnapshotIndex) -> None:
        """Start a snapshot in the new or empty folder `path`; `index` has no rounds yet."""
        if (path / INDEX).exists():
            raise SnapshotPathError(f"{path} contains a snapshot already; name another folder.")
        self.path = path
        self.index = index
        self.known_blocks: tuple[str, ...] = ()
        """The stored blocks, the most recently used ones last."""
        self._write_index()

    def write_api(self, number: int, api: ApiObjects) -> None:
        """Store the API objects of a round."""
        self._write(_api_file(number), gzip.compress(msgspec.json.encode(api), 6, mtime=0))

    def write_document(self, number: int, node: str, raw: bytes) -> None:
        """Store the JSON document of one node, without its blocks.

        Each block is stored once, before the first document that refers to it.
        """
        if b'"blocks":' in raw:
            raw = self._without_blocks(raw)
        self._write(_document_file(number, node), gzip.compress(raw, 6, mtime=0))

    def _without_blocks(self, raw: bytes) -> bytes:
        """Store the blocks of a document, and return the rest of it."""
        members = _MEMBERS.decode(raw)
        blocks = _CONTENTS.decode(members.pop("blocks", b"{}"))
        known = dict.fromkeys(self.known_blocks)
        commands = _NAMED.decode(raw).commands.values()
        # Nobody would read a block that no command names.
        for digest in dict.fromkeys(each for of in commands for each in of.blocks):
            text = blocks.get(digest)
            if digest in known:
                known[digest] = known.pop(digest)
            # A block whose digest is wrong is dropped; its own document then lacks it.
            elif text is not None and digest_of(text) == digest:
                packed = gzip.compress(text.encode(), 6, mtime=0)
                self._write(_block_file(digest), packed)
                known[digest] = None
        self.known_blocks = tuple(known)[-MOST_KNOWN_BLOCKS:]
        return msgspec.json.encode(members)

    def finish_round(self, record: RoundRecord, *, before: bool = False) -> None:
        """Add the round, whose files are all written, to the index.

        `before` is the one before helper pods were created, with the number 0.
        """
        if before:
            self.index = msgspec.structs.replace(self.index, before=record)
        else:
            self.index = msgspec.structs.replace(self.index, looks=[*self.index.looks, record])
        self._write_index()

    def note(self, sentence: str) -> None:
        """Store a note that the reader must know before the verdict."""
        self.index = msgspec.structs.replace(self.index, notes=[*self.index.notes, sentence])
        self._write_index()

    def _write_index(self) -> None:
        raw = msgspec.json.encode(self.index)
        self._write(Path(INDEX), msgspec.json.format(raw, indent=1) + b"\n")

    def _write(self, name: Path, data: bytes) -> None:
        """Write a file that is complete as soon as it has its name."""
        file = self.path / name
        try:
            self._make(file.parent)
            write_whole(file, data, PRIVATE_FILE)
        except OSError as error:
            raise SnapshotError(f"{file} cannot be written: {error.strerror}.") from None

    def _make(self, folder: Path) -> None:
        """Make a folder within the snapshot, and those that it is in."""
        if folder != self.path and not folder.exists():
            self._make(folder.parent)
            folder.mkdir(PRIVATE_FOLDER, exist_ok=True)
        elif not folder.exists():
            folder.mkdir(PRIVATE_FOLDER, parents=True)


def _api_file(number: int) -> Path:
    return Path(f"look-{number}") / "api.json.gz"


def _document_file(number: int, node: str) -> Path:
    return Path(f"look-{number}") / "nodes" / f"{_safe(node)}.json.gz"


def _block_file(digest: str) -> Path:
    """Raises SnapshotError if it is not a digest: a document may contain any text."""
    if not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise SnapshotError(f"{digest[:100]!r} is not the name of a block; run again.")
    return Path("blocks") / f"{digest}.gz"


def _safe(node: str) -> str:
    """The node's name if a file can have it, otherwise a tilde and a digest of the name.

    Kubernetes allows 253 characters, with the suffix more than file systems do; and an index
    that someone tampered with may name anything.
    """
    if len(node) <= 200 and re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", node):
        return node
    return "~" + hashlib.sha256(node.encode(errors="surrogatepass")).hexdigest()[:40]


def _why_not_a_file(file: Path) -> str:
    """`has no snapshot.json`; empty for a file that can be opened or is refused later."""
    try:
        return "" if stat.S_ISREG(file.stat().st_mode) else f"has no {file.name}"
    except OSError as error:
        gone = isinstance(error, FileNotFoundError | NotADirectoryError)
        return f"has no {file.name}" if gone else f"cannot be opened ({error.strerror})"


def _identity(file: Path) -> Identity:
    """What distinguishes a file from a later one of the same name."""
    try:
        status = os.lstat(file)
    except OSError:
        return (str(file), 0, 0, 0)
    return (str(file), status.st_ino, status.st_mtime_ns, status.st_size)


def _read(file: Path, largest: int) -> bytes:
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            status = os.fstat(stream.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SnapshotError(f"{file} is not a regular file; copy the snapshot again.")
            if status.st_size > largest:
                raise SnapshotError(
                    f"{file} has {status.st_size // MEBIBYTE} MiB, more than the "
                    f"{largest // MEBIBYTE} MiB that a snapshot's file may have."
                )
            return stream.read(largest)
    except FileNotFoundError:
        raise SnapshotError(f"{file} is missing; copy the complete snapshot again.") from None
    except OSError as error:
        raise SnapshotError(f"{file} cannot be read: {error.strerror}.") from None


def _unpacked(file: Path, largest: int) -> bytes:
    packed = _read(file, largest)
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = inflater.decompress(packed, largest + 1)
    except zlib.error:
        raise SnapshotError(
            f"{file} is damaged or not gzip data; copy the snapshot again, or take a new one."
        ) from None
    if len(content) > largest:
        raise SnapshotError(
            f"{file} decompresses to more than the {largest // MEBIBYTE} MiB that a file "
            "of a snapshot may have; no run writes such a file."
        )
    if not inflater.eof:
        raise SnapshotError(f"{file} is truncated; copy the snapshot again, or take a new one.")
    return content


def _decoded(raw: bytes, kind: type[Content], file: Path) -> Content:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SnapshotError(
            f"{file} has invalid content: {error}; copy the snapshot again, or take a new one."
        ) from None


def _refuse_newer(file: Path, found: int, known: int, writer: str) -> None:
    if found != known:
        raise SnapshotError(
            f"{file} has format {found}, written by wirecheck {writer or 'of another version'}; "
            f"this wirecheck reads format {known}: use that version, or a newer one."
        )
