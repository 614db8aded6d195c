"""etcd and kube-apiserver on an address of their own: an API without any controller."""

from __future__ import annotations

import base64
import secrets
import shutil
import ssl
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import yaml

from testbed import processes
from testbed.commands import TestbedError, attempt, run
from testbed.referee.slot import Slot
from testbed.state import State, write_atomically

SERVICE_RANGES = ("10.96.0.0/16", "fd00:96::/108")
NODE_PORTS = (30000, 32767)
_PATIENCE = 120.0

Process = subprocess.Popen[bytes]


@contextmanager
def control_plane(here: State, slot: Slot) -> Iterator[Path]:
    """A running API server; the path is that of a kubeconfig for it."""
    stop(slot)
    try:
        _make_bridge(slot)
        _start_etcd(here, slot)
        _start_api_server(here, slot)
        yield _kubeconfig(slot)
    finally:
        stop(slot)


def stop(slot: Slot) -> None:
    """End what runs in the slot, also what another run was killed over, and forget its data."""
    for name in ("kube-apiserver", "etcd"):
        processes.end(slot.pid_file(name), _words(slot, name))
    attempt(["ip", "link", "del", slot.bridge])
    for name in ("etcd", "certificates"):
        shutil.rmtree(slot.folder / name, ignore_errors=True)


def _words(slot: Slot, name: str) -> tuple[str, ...]:
    """Words of the command line that tell the process of this slot from all others."""
    return {
        "etcd": (f"--data-dir={slot.folder / 'etcd'}",),
        "kube-apiserver": (f"--cert-dir={slot.folder / 'certificates'}",),
    }[name]


def _make_bridge(slot: Slot) -> None:
    run(["ip", "link", "add", slot.bridge, "type", "bridge"])
    run(["ip", "addr", "add", f"{slot.address}/28", "dev", slot.bridge])
    run(["ip", "link", "set", slot.bridge, "up"])


def _start(here: State, slot: Slot, name: str, *flags: str) -> Process:
    log = slot.folder / f"{name}.log"
    argv = [str(here.bin / name), *_words(slot, name), *flags]
    process = processes.start(argv, log)
    slot.pid_file(name).write_text(str(process.pid))
    return process


def _start_etcd(here: State, slot: Slot) -> None:
    clients, peers = f"http://{slot.address}:2379", f"http://{slot.address}:2380"
    process = _start(
        here,
        slot,
        "etcd",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        # What is lost with the machine was of no use to anybody.
        "--unsafe-no-fsync",
        "--log-level=warn",
    )
    _wait(slot, "etcd", process, lambda: _get(f"{clients}/health", ""))


def _start_api_server(here: State, slot: Slot) -> None:
    certificates = slot.folder / "certificates"
    certificates.mkdir(mode=0o700, exist_ok=True)
    key = certificates / "service-accounts.key"
    run(["openssl", "genrsa", "-out", str(key), "2048"])
    token = secrets.token_hex(16)
    write_atomically(
        certificates / "tokens.csv", f"{token},referee,referee,system:masters\n", 0o600
    )
    process = _start(
        here,
        slot,
        "kube-apiserver",
        f"--etcd-servers=http://{slot.address}:2379",
        f"--bind-address={slot.address}",
        f"--advertise-address={slot.address}",
        "--secure-port=6443",
        f"--token-auth-file={certificates / 'tokens.csv'}",
        "--authorization-mode=RBAC",
        "--anonymous-auth=false",
        f"--service-cluster-ip-range={','.join(SERVICE_RANGES)}",
        f"--service-node-port-range={NODE_PORTS[0]}-{NODE_PORTS[1]}",
        "--service-account-issuer=https://referee.test",
        f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}",
        "--disable-admission-plugins=ServiceAccount",
    )
    ready = f"https://{slot.address}:6443/readyz"
    _wait(slot, "kube-apiserver", process, lambda: _get(ready, token, slot))


def _wait(slot: Slot, name: str, process: Process, ask: Callable[[], None]) -> None:
    limit = time.monotonic() + _PATIENCE
    while time.monotonic() < limit and process.poll() is None:
        with suppress(OSError):
            ask()
            return
        time.sleep(0.2)
    raise TestbedError(f"{name} does not come up; its log is {slot.folder / name}.log")


def _get(url: str, token: str, slot: Slot | None = None) -> None:
    context = ssl.create_default_context(cafile=str(_certificate(slot))) if slot else None
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=5, context=context) as answer:
        answer.read()


def _certificate(slot: Slot) -> Path:
    """The server makes it itself, with its own authority's behind it in the same file."""
    return slot.folder / "certificates" / "apiserver.crt"


def _kubeconfig(slot: Slot) -> Path:
    token = (slot.folder / "certificates" / "tokens.csv").read_text().partition(",")[0]
    authority = base64.b64encode(_certificate(slot).read_bytes()).decode()
    server = f"https://{slot.address}:6443"
    path = slot.folder / "kubeconfig"
    cluster = {"server": server, "certificate-authority-data": authority}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "referee", "cluster": cluster}],
        "users": [{"name": "referee", "user": {"token": token}}],
        "contexts": [{"name": "referee", "context": {"cluster": "referee", "user": "referee"}}],
        "current-context": "referee",
    }
    write_atomically(path, yaml.safe_dump(config), 0o600)
    return path
