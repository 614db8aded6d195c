"""The inventories that lead wirecheck to the cluster."""

from __future__ import annotations

from typing import Any

import yaml

from testbed.layout import VM
from testbed.rootfs import USER
from testbed.state import State, write_atomically

Entry = dict[str, Any]


def inventories(state: State, vm: bool) -> dict[str, list[Entry]]:
    """Each inventory's file name, and its ways into the nodes."""
    ssh = {"via": "ssh://root@{address}", "ssh_config": str(state.ssh_config)}
    first = [{"name": VM, **ssh}] if vm else []
    return {
        "inventory.yaml": [*first, {"name": "wc-*", "via": "docker://{name}"}],
        "inventory-ssh.yaml": [{"name": "wc-*", **ssh}],
        "inventory-sudo.yaml": [
            {"name": "wc-*", **ssh, "via": f"ssh://{USER}@{{address}}", "sudo": True}
        ],
    }


def write_inventories(state: State, vm: bool) -> None:
    """Write them into the state folder."""
    for name, entries in inventories(state, vm).items():
        content = {"kubeconfig": str(state.kubeconfig), "nodes": entries}
        write_atomically(state.root / name, yaml.safe_dump(content, sort_keys=False))


def remove_inventories(state: State) -> None:
    """Remove them: they would lead nowhere."""
    for name in inventories(state, vm=False):
        (state.root / name).unlink(missing_ok=True)
