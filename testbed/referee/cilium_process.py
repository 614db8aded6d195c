"""Cilium's load balancing control plane, alone: it programs real eBPF maps from a file.

`pkg/loadbalancer/repl` of Cilium's module, unpatched, reads Services and EndpointSlices from a
file and commands from its standard input. It runs in a netns and a mount namespace of its own. Its
maps have no pins; the process' file descriptors show their ids.
"""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from testbed.commands import TestbedError
from testbed.components import Component
from testbed.referee.kube_proxy import NODE
from testbed.referee.scene import Scene
from wirecheck.collect.on_node import bpf_calls, ebpf_maps
from wirecheck.dataplane.ebpf.layouts import LAYOUTS
from wirecheck.snapshot.ebpf_maps import EbpfMaps

VERSION = "1.20.2"
LOAD_BALANCER = Component(
    "cilium-load-balancer",
    "cilium-load-balancer",
    "github.com/cilium/cilium/pkg/loadbalancer/repl",
)
GET_FD_BY_ID, READ_ONLY = 14, 1 << 3
PATIENCE = 120.0
_INSIDE = "ip link set lo up && mount -t bpf bpf /sys/fs/bpf && exec"
_LIMIT = 60.0
_KERNEL_NAME = 15
"""The characters of a map's name that the kernel keeps."""


class CiliumProcess:
    """One control plane, and its maps."""

    def __init__(self, program: Path, folder: Path, settings: Sequence[str]) -> None:
        self._folder = folder
        self._state = folder / "state.json"
        self._log = folder / "cilium.log"
        self._maps: dict[str, int] = {}
        self._write({"services": [], "endpoints": []})
        arguments = ["--enable-k8s=false", f"--lb-state-file={self._state}"]
        arguments += ["--lb-state-file-interval=50ms", *settings]
        line = " ".join([_INSIDE, str(program), *arguments])
        with self._log.open("wb") as sink:
            self._process = subprocess.Popen(
                ["unshare", "--net", "--mount", "sh", "-c", line],
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env={**os.environ, "K8S_NODE_NAME": NODE},
                start_new_session=True,
            )

    def start(self, addresses: Sequence[str]) -> None:
        """Start it with the addresses of its node, and find its maps."""
        for number, address in enumerate(addresses):
            file = self._folder / f"address-{number}.yaml"
            fields = {"addr": address, "nodeport": True, "primary": True, "devicename": "eth0"}
            file.write_text(json.dumps(fields))
            self._command(f"db/insert node-addresses {file}")
        self._command("hive/start")
        limit = time.monotonic() + PATIENCE
        while len(self._maps) < len(LAYOUTS):
            if time.monotonic() > limit or self._process.poll() is not None:
                raise TestbedError(f"Cilium's load balancer does not start: {self.log()}")
            time.sleep(0.2)
            self._maps |= dict(self._found())

    def bring(self, scene: Scene) -> None:
        """Let it program the Services of a scene, in place of those that it has."""
        self._write({"services": scene.services, "endpoints": scene.slices})

    def maps(self) -> EbpfMaps:
        """Its maps, read as those of a node are."""
        ends = time.monotonic() + _LIMIT
        read = []
        for name, descriptor in self._maps.items():
            read.append(ebpf_maps.read_map(descriptor, name, ebpf_maps.MOST_BYTES, ends))
        return msgspec.convert({"byte_order": sys.byteorder, "maps": read}, EbpfMaps)

    def dump(self) -> list[str]:
        """Its own dump of its maps, as lines."""
        file = self._folder / "dump"
        file.unlink(missing_ok=True)
        self._command(f"lb/maps-dump {file}")
        limit = time.monotonic() + PATIENCE
        while not file.exists():
            if time.monotonic() > limit or self._process.poll() is not None:
                raise TestbedError(f"Cilium's load balancer dumps nothing: {self.log()}")
            time.sleep(0.1)
        time.sleep(0.2)  # It is not written by a rename.
        return file.read_text().splitlines()

    def log(self) -> str:
        """What it has said last."""
        return self._log.read_text(errors="replace")[-2000:]

    def end(self) -> None:
        """End it; its maps go with it."""
        for descriptor in self._maps.values():
            os.close(descriptor)
        self._maps = {}
        self._process.kill()
        self._process.wait()

    def _write(self, state: object) -> None:
        draft = self._state.with_suffix(".draft")
        draft.write_text(json.dumps(state))
        draft.rename(self._state)

    def _command(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        self._process.stdin.flush()

    def _found(self) -> Iterator[tuple[str, int]]:
        """The maps with a known layout: by full name, a descriptor that only reads."""
        known = {(name[:_KERNEL_NAME], *sizes): name for name, *sizes in LAYOUTS}
        for identity in self._identities():
            attr = struct.pack("=III", identity, 0, READ_ONLY)
            descriptor = bpf_calls.call(GET_FD_BY_ID, ctypes.create_string_buffer(attr, 12))
            if descriptor < 0:
                continue
            _, key_size, value_size, _, kernel_name = ebpf_maps.map_info(descriptor)
            name = known.get((kernel_name, key_size, value_size))
            if name and name not in self._maps:
                yield name, descriptor
            else:
                os.close(descriptor)

    def _identities(self) -> set[int]:
        found = set()
        for file in Path(f"/proc/{self._process.pid}/fdinfo").glob("*"):
            try:
                lines = file.read_text().splitlines()
            except OSError:
                continue
            found |= {int(each.split()[1]) for each in lines if each.startswith("map_id:")}
        return found


@contextmanager
def cilium_process(
    program: Path, folder: Path, addresses: Sequence[str], settings: Sequence[str]
) -> Iterator[CiliumProcess]:
    """A control plane that ends with the context."""
    folder.mkdir(parents=True, exist_ok=True)
    process = CiliumProcess(program, folder, settings)
    try:
        process.start(addresses)
        yield process
    finally:
        process.end()
