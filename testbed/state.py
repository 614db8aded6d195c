"""The folder that holds everything the test cluster is made of and leaves behind."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from testbed.commands import TestbedError

SOURCE = Path(__file__).parent
"""Where the test cluster's own files are: components, node files, manifests, workloads."""


@dataclass(frozen=True, slots=True)
class Record:
    """What is running; written once it is complete, so that its absence means half-made."""

    proxy_mode: str
    subnet: str
    vm: bool
    dual_stack: bool = False
    network: str = "flannel"
    """The pod network, by its name. Records older than the choice have the only one of then."""
    layout: str = "kubeadm"
    """Where nodes keep their files, by its name."""


@dataclass(frozen=True, slots=True)
class State:
    """The paths below the state folder."""

    root: Path

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def rootfs(self) -> Path:
        return self.root / "rootfs"

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def log(self) -> Path:
        return self.root / "log"

    @property
    def ssh(self) -> Path:
        return self.root / "ssh"

    @property
    def vm(self) -> Path:
        return self.root / "vm"

    @property
    def ssh_config(self) -> Path:
        return self.ssh / "ssh_config"

    @property
    def kubeconfig(self) -> Path:
        return self.root / "kubeconfig"

    @property
    def inventory(self) -> Path:
        return self.root / "inventory.yaml"

    @property
    def _record(self) -> Path:
        return self.root / "cluster.json"

    def record(self) -> Record | None:
        """What is running, None if nothing is (or something that was never completed)."""
        try:
            return Record(**json.loads(self._record.read_text()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def running(self) -> Record:
        """The same for those who need a cluster: TestbedError where there is none."""
        if record := self.record():
            return record
        raise TestbedError("no test cluster is running: `python -m testbed up` starts one")

    def write_record(self, record: Record) -> None:
        """Declare the cluster complete."""
        write_atomically(self._record, json.dumps(asdict(record)))

    def forget_record(self) -> None:
        """Record that the cluster is incomplete."""
        self._record.unlink(missing_ok=True)


def state() -> State:
    """The state folder of this user; made if need be."""
    cache = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(cache) / "wirecheck" / "testbed"
    root.mkdir(parents=True, exist_ok=True)
    return State(root)


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file that others see either as it was or complete."""
    draft = path.with_name(path.name + ".draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.touch(mode)
    draft.chmod(mode)
    draft.write_text(text)
    draft.replace(path)


def key_of(parts: Iterable[str | bytes | Path]) -> str:
    """A key that changes with any of the texts, and with the name or content of any file."""
    digest = hashlib.sha256()
    for part in parts:
        for piece in _pieces(part):
            digest.update(len(piece).to_bytes(8, "big"))
            digest.update(piece)
    return digest.hexdigest()


def _pieces(part: str | bytes | Path) -> Iterable[bytes]:
    if isinstance(part, str):
        return [part.encode()]
    if isinstance(part, bytes):
        return [part]
    if part.is_dir():
        files = sorted(path for path in part.rglob("*") if path.is_file())
        return [p for file in files for p in (str(file.relative_to(part)).encode(), _content(file))]
    return [part.name.encode(), _content(part)]


def _content(file: Path) -> bytes:
    return (b"x" if os.access(file, os.X_OK) else b"-") + file.read_bytes()


def is_fresh(made: Path, key: str) -> bool:
    """Whether `made` exists and was made from inputs with this key."""
    stamp = _stamp(made)
    return made.exists() and stamp.exists() and stamp.read_text() == key


def mark_fresh(made: Path, key: str) -> None:
    """Note that `made` was completed from inputs with this key."""
    write_atomically(_stamp(made), key)


def mark_stale(made: Path) -> None:
    """Note that `made` is about to be changed: it is incomplete until it is marked fresh."""
    _stamp(made).unlink(missing_ok=True)


def _stamp(made: Path) -> Path:
    return made.with_name(made.name + ".key")
