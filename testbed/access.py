"""SSH keys, and how to reach the nodes with them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from testbed.commands import run
from testbed.layout import NodeSpec
from testbed.rootfs import USER
from testbed.state import State, write_atomically


def make_keys(here: State, nodes: Sequence[NodeSpec]) -> None:
    """Make the client's key and one host key for each node, where they are missing."""
    here.ssh.mkdir(mode=0o700, parents=True, exist_ok=True)
    _make_key(client_key(here), "testbed")
    for node in nodes:
        _make_key(host_key(here, node.name), node.name)


def client_key(here: State) -> Path:
    """The private key that all nodes accept for root and for the other user."""
    return here.ssh / "id_ed25519"


def host_key(here: State, name: str) -> Path:
    """The private key by which a node's SSH server proves itself."""
    return here.ssh / f"host_{name}"


def install_host_key(here: State, name: str, tree: Path) -> None:
    """Put a node's host key into its file system, whose files may be other systems' as well."""
    key = tree / "etc/wirecheck-testbed/host_key"
    key.unlink(missing_ok=True)
    shutil.copy(host_key(here, name), key)
    key.chmod(0o600)


def _make_key(path: Path, comment: str) -> None:
    if path.exists() and path.with_suffix(".pub").exists():
        return
    path.unlink(missing_ok=True)
    run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])


def write_ssh_config(here: State, nodes: Sequence[NodeSpec]) -> None:
    """Write the known hosts and a configuration that reaches nodes by name and by address."""
    known = here.ssh / "known_hosts"
    lines = [_known_host(here, node) for node in nodes]
    write_atomically(known, "".join(lines))
    write_atomically(here.ssh_config, _config(here, known, nodes))


def _known_host(here: State, node: NodeSpec) -> str:
    kind, key = host_key(here, node.name).with_suffix(".pub").read_text().split(" ")[:2]
    return f"{node.name},{node.address} {kind} {key}\n"


def _config(here: State, known: Path, nodes: Sequence[NodeSpec]) -> str:
    hosts = "".join(f"Host {n.name}\n  HostName {n.address}\n" for n in nodes)
    everybody = " ".join(f"{n.name} {n.address}" for n in nodes)
    return (
        f"{hosts}Host {everybody}\n"
        f"  IdentityFile {client_key(here)}\n"
        "  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {known}\n"
        "  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n"
        "  BatchMode yes\n"
        "  ConnectTimeout 10\n"
    )


LOGINS = ("root", USER)
"""Who may log in."""
