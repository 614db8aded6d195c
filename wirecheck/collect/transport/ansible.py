"""Access methods from the hosts of an Ansible inventory, which Ansible itself reads.

Only variables about the connection are used. Passwords are not: an unattended run can use keys,
an ssh agent and sudo without a password.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from wirecheck.collect.transport.bounded_process import (
    OutOfTimeError,
    TooMuchOutputError,
    run_bounded,
)
from wirecheck.inventory.file import AccessMethod, InventoryError, UnusableAccess, is_plain_uri
from wirecheck.snapshot.objects.node import NodeObject

PROGRAM = "ansible-inventory"
SECONDS = 120.0
"""Dynamic inventories ask a cloud's API."""

SCHEMES = {
    "ssh": "ssh",
    "smart": "ssh",
    "paramiko": "ssh",
    "paramiko_ssh": "ssh",
    "ansible.builtin.ssh": "ssh",
    "local": "local",
    "ansible.builtin.local": "local",
    "docker": "docker",
    "community.docker.docker": "docker",
    "podman": "podman",
    "containers.podman.podman": "podman",
}
"""The access method of each connection plugin of Ansible."""

TARGET = ("ansible_host", "ansible_ssh_host")
TEMPLATE = "{{"


@dataclass(frozen=True, slots=True)
class AnsibleHost:
    """A host with its variables."""

    name: str
    variables: Mapping[str, Any]

    def is_node(self, node: NodeObject) -> bool:
        """Whether it has the node's name or one of its addresses; the visit proves it."""
        # A host whose address is a template is known by its name alone.
        mine = {self.name.lower()} if self.is_template else {self.name.lower(), self.target.lower()}
        theirs = {node.metadata.name, *(each.address for each in node.status.addresses)}
        return not mine.isdisjoint(each.lower() for each in theirs)

    @property
    def is_template(self) -> bool:
        """Whether its address is a template, which `ansible-inventory --list` does not render."""
        return TEMPLATE in self._raw(*TARGET)

    @property
    def target(self) -> str:
        """The address of the host."""
        return self._text(*TARGET) or self.name

    def access(self, node: str) -> AccessMethod:
        """The access method of the node that this host is. Raises InventoryError."""
        connection = self._text("ansible_connection") or "ssh"
        scheme = SCHEMES.get(connection)
        if scheme is None:
            raise self._unusable(
                f"uses the connection {connection}, which wirecheck does not support"
            )
        method = self._text("ansible_become_method") or "sudo"
        user = self._text("ansible_become_user") or "root"
        becomes = self._truth("ansible_become")
        if becomes and (method, user) != ("sudo", "root"):
            raise self._unusable(f"becomes {user} by {method}; only root by sudo is supported")
        arguments = [
            word
            for name in ("ansible_ssh_common_args", "ansible_ssh_extra_args")
            for word in self._words(name)
        ]
        key = self._text("ansible_ssh_private_key_file", "ansible_private_key_file")
        return AccessMethod(
            node=node,
            uri=self._uri(scheme),
            address=self.target,
            identity_file=key if scheme == "ssh" and key else None,
            sudo=becomes,
            ssh_arguments=tuple(arguments) if scheme == "ssh" else (),
        )

    def _uri(self, scheme: str) -> str:
        if scheme == "local":
            return "local://"
        host = f"[{self.target}]" if ":" in self.target else self.target
        user = self._text("ansible_user", "ansible_ssh_user") if scheme == "ssh" else ""
        port = self._text("ansible_port", "ansible_ssh_port") if scheme == "ssh" else ""
        uri = f"{scheme}://{user}{'@' * bool(user)}{host}{':' * bool(port)}{port}"
        if not is_plain_uri(uri):
            raise self._unusable("has an invalid user, host or port")
        return uri

    def _text(self, *names: str) -> str:
        found = self._raw(*names)
        if TEMPLATE in found:
            raise self._unusable(f"has a template in {names[0]}; replace it by the value")
        return found

    def _raw(self, *names: str) -> str:
        return next((str(self.variables[n]) for n in names if self.variables.get(n)), "")

    def _words(self, name: str) -> list[str]:
        try:
            return shlex.split(self._text(name))
        except ValueError:
            raise self._unusable(f"has an unclosed quote in {name}") from None

    def _truth(self, name: str) -> bool:
        return self._text(name).lower() in ("true", "yes", "1", "on", "y", "t")

    def _unusable(self, why: str) -> InventoryError:
        return InventoryError(
            f"The host {self.name} of the Ansible inventory {why}. Correct it there, or add an "
            "entry for the node under `nodes:`, which takes precedence."
        )


def program() -> str:
    """The path of `ansible-inventory`: on the PATH, or beside wirecheck; empty if there is none."""
    beside = str(Path(sys.executable).parent)
    return shutil.which(PROGRAM) or shutil.which(PROGRAM, path=beside) or ""


def _locale() -> str:
    """A locale with UTF-8: Ansible refuses to start in any other."""
    given = (os.environ.get(name, "") for name in ("LC_ALL", "LC_CTYPE", "LANG"))
    return next((each for each in given if "utf" in each.lower()), "C.UTF-8")


@cache
def hosts_of(path: str) -> tuple[AnsibleHost, ...]:
    """The hosts of the inventory: INI, YAML, a script, or a folder with variables beside them.

    Raises InventoryError.
    """
    found = program()
    if not found:
        raise InventoryError(
            f"{path} is an Ansible inventory, which needs `{PROGRAM}`: "
            "pip install 'wirecheck[ansible]'"
        )
    argv = [found, "--inventory", path, "--list"]
    # Otherwise it only warns if it cannot parse the inventory, and prints an empty one.
    strict = {"ANSIBLE_INVENTORY_UNPARSED_FAILED": "true", "ANSIBLE_NOCOLOR": "1"}
    try:
        finished = run_bounded(
            argv,
            seconds=SECONDS,
            most_bytes=256 << 20,
            called_off=threading.Event(),
            environment={**strict, "ANSIBLE_VERBOSITY": "0", "LC_ALL": _locale()},
        )
        listed = json.loads(finished.stdout) if finished.status == 0 else None
    except (OSError, OutOfTimeError, TooMuchOutputError, ValueError):
        finished, listed = None, None
    if not isinstance(listed, dict):
        said = finished.stderr.decode("utf-8", "replace").split() if finished else []
        raise InventoryError(
            f"The Ansible inventory {path} cannot be used: "
            f"{' '.join(said)[-200:] or f'{PROGRAM} did not answer'}. Try: {shlex.join(argv)}"
        )
    variables = listed.get("_meta", {}).get("hostvars", {})
    # Hosts without variables are listed in their groups only.
    names = {name for group in listed.values() for name in group.get("hosts", ())}
    return tuple(AnsibleHost(name, variables.get(name, {})) for name in sorted(names))


def ansible_access(
    hosts: Sequence[AnsibleHost], nodes: Sequence[NodeObject]
) -> dict[str, AccessMethod | UnusableAccess]:
    """The access method of each node that is one of the hosts, or why it cannot be used."""
    methods: dict[str, AccessMethod | UnusableAccess] = {}
    for node in nodes:
        found = [host for host in hosts if host.is_node(node)]
        by_name = [host for host in found if host.name == node.metadata.name]
        for host in (by_name or found)[:1]:
            methods[node.metadata.name] = _access_of(host, node.metadata.name)
    return methods


def unmapped(hosts: Sequence[AnsibleHost], nodes: Collection[NodeObject]) -> list[str]:
    """The hosts that match no node of the cluster by name or address."""
    return [
        f"{host.name} (its address is a template)" if host.is_template else host.name
        for host in hosts
        if not any(host.is_node(node) for node in nodes)
    ]


def _access_of(host: AnsibleHost, node: str) -> AccessMethod | UnusableAccess:
    try:
        return host.access(node)
    except InventoryError as error:
        return UnusableAccess(str(error))
