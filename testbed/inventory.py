"""The inventories that lead wirecheck to the cluster."""

from __future__ import annotations

from typing import Any

import yaml

from testbed.layout import VM
from testbed.rootfs import USER
from testbed.state import State, write_atomically

Entry = dict[str, Any]
EXTERNAL_NAMES = "inventory-external-names.yaml"
"""As the first one, with a name that the world outside the test cluster knows."""


def inventories(here: State, vm: bool) -> dict[str, list[Entry]]:
    """Each inventory's file name, and its access to the nodes."""
    ssh = {"access": "ssh://root@{address}", "ssh_config": str(here.ssh_config)}
    first = [{"name": VM, **ssh}] if vm else []
    return {
        "inventory.yaml": [*first, {"name": "wc-*", "access": "docker://{name}"}],
        EXTERNAL_NAMES: [*first, {"name": "wc-*", "access": "docker://{name}"}],
        "inventory-ssh.yaml": [{"name": "wc-*", **ssh}],
        "inventory-sudo.yaml": [
            {"name": "wc-*", **ssh, "access": f"ssh://{USER}@{{address}}", "sudo": True}
        ],
    }


def write_inventories(here: State, vm: bool) -> None:
    """Write them into the state folder."""
    for name, entries in inventories(here, vm).items():
        content: Entry = {"kubeconfig": str(here.kubeconfig), "nodes": entries}
        if name == EXTERNAL_NAMES:
            content["dns"] = {"external_names": ["www.example.test"]}
        write_atomically(here.root / name, yaml.safe_dump(content, sort_keys=False))


def remove_inventories(here: State) -> None:
    """Remove them: their cluster is gone."""
    for name in inventories(here, vm=False):
        (here.root / name).unlink(missing_ok=True)
