"""The inventory: how to reach the API and each node, thresholds and waivers."""

from __future__ import annotations

import datetime
import difflib
import fnmatch
import ipaddress
import json
import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from wirecheck.catalogue.former_ids import warn_of_pattern
from wirecheck.inventory.strict_yaml import FormerOptions, UnusableFileError, read_strictly
from wirecheck.snapshot.index import Waiver
from wirecheck.snapshot.objects.node import NodeObject

SCHEMES = ("docker", "kubectl", "local", "podman", "ssh")
"""The kinds of access method."""

DomainName = Annotated[str, Meta(max_length=253, pattern=r"^[-A-Za-z0-9_]+(\.[-A-Za-z0-9_]+)*\.?$")]
Positive = Annotated[float, Meta(gt=0)]
Count = Annotated[int, Meta(ge=1)]
Port = Annotated[int, Meta(ge=1, le=65535)]
Pause = Annotated[float, Meta(ge=0)]


class InventoryError(Exception):
    """The inventory cannot be used. The message has the file, the line or option and the cause."""


class Part(Struct, frozen=True, forbid_unknown_fields=True):
    """A part of the inventory."""


class NodeEntry(Part, frozen=True):
    """The access method of the nodes whose names match the glob `name`."""

    name: str
    access: str
    port: Port | None = None
    ssh_config: str | None = None
    identity_file: str | None = None
    sudo: bool = False


class Dns(Part, frozen=True):
    """Limits of DNS queries: per second over the whole cluster, attempts, seconds per attempt."""

    rate: Positive = 200.0
    tries: Count = 3
    timeout: Positive = 2.5
    external_names: tuple[DomainName, ...] = ()
    """External names that DNS must resolve; without it none is queried."""


class Limits(Part, frozen=True):
    """Seconds for one visit and for all visits, and the number of parallel visits."""

    node: Positive = 60.0
    total: Positive = 600.0
    workers: Count = 32


class Rounds(Part, frozen=True):
    """The pauses before the second, third … round, in seconds; none means one round."""

    intervals: Annotated[tuple[Pause, ...], Meta(max_length=5)] = (10.0, 30.0)


ClusterName = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^\S(.*\S)?$")]
Label = Annotated[str, Meta(pattern="^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")]
Version = Annotated[str, Meta(pattern=r"^v?1\.\d{1,3}(\.\d{1,3})?$")]
Image = Annotated[str, Meta(min_length=1, pattern=r"^\S+$")]


class Agent(Part, frozen=True):
    """Agent pods, through which nodes with the access method `kubectl://` are visited."""

    namespace: Label = "wirecheck"
    image: Image | None = None
    """The image of agents created for a run, on nodes without an agent; None creates none."""
    pull_secrets: list[Label] = []
    start: Positive = 60.0
    """Seconds until all agents created for a run must have started."""
    privileged: bool = False
    """For platforms on which only privileged pods may enter the node's namespaces."""


class HelperPods(Part, frozen=True):
    """Pods for one run, one per node, that exchange large messages."""

    always: bool = False
    """Create them without --helper-pods as well."""
    namespace: Label = "wirecheck-helpers"
    image: Image | None = None
    """An image with `python3`; None uses the agents' image."""
    pull_secrets: list[Label] = []
    start: Positive = 60.0
    """Seconds until all of them must have started."""


class Inventory(Part, frozen=True):
    """An inventory. Its paths are absolute, wherever the file is."""

    nodes: list[NodeEntry] = []
    ansible: str | None = None
    """An Ansible inventory, for the nodes that no entry matches."""
    kubeconfig: str | None = None
    context: str | None = None
    cluster_name: ClusterName | None = None
    """What reports, metrics and messages call the cluster; otherwise its context, or its uid."""
    agent: Agent = Agent()
    helper_pods: HelperPods = HelperPods()
    dns: Dns = Dns()
    limits: Limits = Limits()
    rounds: Rounds = Rounds()
    upgrade_target: Version | None = None
    """The version of Kubernetes of the next upgrade; changes after it are left out."""
    thresholds: dict[str, float] = {}
    waivers: list[Waiver] = []


class AgentPod(Struct, frozen=True):
    """An agent pod, and the configuration of kubectl for its cluster."""

    namespace: str
    name: str
    kubeconfig: str = ""
    """As in $KUBECONFIG; empty within a pod."""
    context: str = ""


class AccessMethod(Struct, frozen=True):
    """The access method of one node. It has paths of credentials, never a credential."""

    node: str
    uri: str
    address: str
    ssh_config: str | None = None
    identity_file: str | None = None
    sudo: bool = False
    ssh_arguments: tuple[str, ...] = ()
    """Arguments for ssh: a jump host, an option."""
    pod: AgentPod | None = None
    """Set if `uri` is kubectl://."""


class UnusableAccess(Struct, frozen=True):
    """Why the configured access method of a node cannot be used, with the next step."""

    why: str


def read_inventory(path: Path) -> Inventory:
    """Read and check the inventory at `path`.

    Raises InventoryError for a file that is missing, is not YAML, has an unknown
    option, or has an option with an invalid value.
    """
    try:
        inventory = read_strictly(path, Inventory, _PARTS, _FORMER)
    except UnusableFileError as error:
        raise InventoryError(str(error)) from None
    return _checked(path, inventory)


def access_methods(
    inventory: Inventory, nodes: Sequence[NodeObject]
) -> dict[str, AccessMethod | UnusableAccess | None]:
    """The access method of each node, from the first entry that matches; None without one."""
    return {node.metadata.name: _access(inventory, node) for node in nodes}


def missing_lines(names: Collection[str]) -> str:
    """The lines of an inventory that would give access to the nodes `names`."""
    globs = sorted(names)
    if len(globs) > 3:
        prefix = os.path.commonprefix(globs)  # noqa: RUF071 - names, not paths
        globs = [f"{prefix}*"]
    quoted = map(json.dumps, globs)  # which YAML reads as well
    entries = (f"  - name: {name}\n    access: ssh://root@{{address}}\n" for name in quoted)
    return "nodes:\n" + "".join(entries)


def refuse_unknown_thresholds(inventory: Inventory, known: Collection[str]) -> None:
    """Raise InventoryError for a threshold that no check has."""
    for name in inventory.thresholds:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean `{near[0]}`?" if near else f"Known: {', '.join(sorted(known))}."
            raise InventoryError(f"thresholds: no check has a threshold `{name}`; {hint}")


_PARTS: Mapping[str, type[Struct]] = {
    "nodes": NodeEntry,
    "agent": Agent,
    "helper_pods": HelperPods,
    "dns": Dns,
    "limits": Limits,
    "rounds": Rounds,
    "waivers": Waiver,
}
_FORMER: FormerOptions = {Inventory: {"looks": "rounds"}, NodeEntry: {"via": "access"}}


def _checked(path: Path, inventory: Inventory) -> Inventory:
    if not inventory.nodes and not inventory.ansible:
        raise InventoryError(
            f"{path} has no `nodes`, so no node can be visited; add an entry such as "
            '`- {name: "*", access: "ssh://root@{address}"}`.'
        )
    for waiver in inventory.waivers:
        try:
            datetime.date.fromisoformat(waiver.until)
        except ValueError:
            raise InventoryError(
                f"{path}: the waiver of {waiver.check} has `until: {waiver.until}`, which is not "
                "a date; write it as 2027-01-31."
            ) from None
        warn_of_pattern(waiver.check, f"{path}: the waiver of {waiver.check}")
    for entry in inventory.nodes:
        _check_access(path, entry)
    folder = path.absolute().parent
    return msgspec.structs.replace(
        inventory,
        kubeconfig=_absolute(folder, inventory.kubeconfig),
        ansible=_absolute(folder, inventory.ansible),
        nodes=[
            msgspec.structs.replace(
                entry,
                ssh_config=_absolute(folder, entry.ssh_config),
                identity_file=_absolute(folder, entry.identity_file),
            )
            for entry in inventory.nodes
        ],
    )


def _check_access(path: Path, entry: NodeEntry) -> None:
    scheme, separator, host = entry.access.partition("://")
    wrong = ""
    if not separator or scheme not in SCHEMES:
        known = ", ".join(f"{scheme}://" for scheme in SCHEMES)
        wrong = f"is not one of {known}"
    elif unknown := set(re.findall(r"{([^{}]*)}", host)) - {"name", "address"}:
        wrong = f"has an unknown placeholder {{{min(unknown)}}}; use {{name}} or {{address}}"
    elif scheme == "ssh" and ":" in host.rpartition("@")[0]:
        wrong = "contains a password; use a key, and name it in `identity_file` or `ssh_config`"
    elif scheme == "kubectl" and host:
        wrong = "names a pod, but wirecheck finds the agent of the node itself; write kubectl://"
    elif scheme == "local" and host:
        wrong = "names a host, but local:// is this machine; write ssh:// to reach another"
    if wrong:
        raise InventoryError(
            f"{path}: the access method of {entry.name}, `{_masked(entry.access)}`, {wrong}."
        )


def _masked(uri: str) -> str:
    """The access method without its password, which ends with the last `@`."""
    scheme, separator, rest = uri.partition("://")
    login, at, host = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    return f"{scheme}{separator}{user}:…@{host}" if at and colon else uri


def _absolute(folder: Path, written: str | None) -> str | None:
    return None if written is None else str(folder / Path(written).expanduser())


def _access(inventory: Inventory, node: NodeObject) -> AccessMethod | UnusableAccess | None:
    name = node.metadata.name
    for entry in inventory.nodes:
        if fnmatch.fnmatchcase(name, entry.name):
            address = _address(node)
            uri = _filled_in(entry, name, address)
            if uri != "local://" and not is_plain_uri(uri):
                return UnusableAccess(
                    f"The access method of node {name}, {_masked(uri)!r}, has an invalid host; "
                    f"correct the entry `{entry.name}` of the inventory, or the Node's addresses."
                )
            return AccessMethod(
                node=name,
                uri=uri,
                address=address,
                ssh_config=entry.ssh_config,
                identity_file=entry.identity_file,
                sudo=entry.sudo,
            )
    return None


def _address(node: NodeObject) -> str:
    """The address of the node: an InternalIP, otherwise an ExternalIP, otherwise its name.

    Either may be a host name, which is as good for an access method, or empty, which is not.
    """
    for kind in ("InternalIP", "ExternalIP"):
        for address in node.status.addresses:
            if address.type == kind and address.address:
                return address.address
    return node.metadata.name


def _filled_in(entry: NodeEntry, name: str, address: str) -> str:
    scheme, _, rest = entry.access.partition("://")
    if scheme == "local":
        return entry.access
    user, at, host = rest.rpartition("@")
    host = host or ("{address}" if scheme == "ssh" else "{name}")
    host = host.replace("{name}", name).replace("{address}", _bracketed(address))
    user = user.replace("{name}", name)
    uri = f"{scheme}://{user}{at}{host}"
    if entry.port is not None:
        uri += f":{entry.port}"
    return uri


def _bracketed(address: str) -> str:
    try:
        return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    except ValueError:
        return address


def is_plain_uri(uri: str) -> bool:
    """Whether user, host and port are plain words, because they become arguments of a command."""
    if not uri.isprintable():
        return False  # urlsplit removes line breaks, so that they would go unnoticed
    try:
        parts = urlsplit(uri)
        user, host, port = parts.username or "u", parts.hostname or "", parts.port or 1
        if ":" in host:
            ipaddress.IPv6Address(host)
            host = "v6"
    except ValueError:
        return False
    plain = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
    whole = parts.path == parts.query == parts.fragment == ""
    return bool(whole and port and re.fullmatch(plain, user) and re.fullmatch(plain, host))
