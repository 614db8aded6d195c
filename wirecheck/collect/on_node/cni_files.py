"""Reads the files of a node's CNI plugins: configurations, binaries and reserved addresses.

Only names, types and paths of a configuration leave the node, because some plugins keep tokens
there. Only the expiry of a token leaves the node.
"""

import base64
import json
import os
import re
import time
from itertools import islice
from typing import Any, Dict, Iterable, Iterator, List, Optional

from wirecheck.collect.on_node.child import result
from wirecheck.collect.on_node.container_runtime import find as find_runtime
from wirecheck.collect.on_node.regular_file import content as content_of

CONFIGURATIONS = "/etc/cni/net.d"
BINARIES = "/opt/cni/bin"
RESERVATIONS = "/var/lib/cni/networks"
EXTENSIONS = (".conf", ".conflist", ".json")
MOST_BYTES = 1 << 20
MOST_FILES = 5000
MOST_FOLDERS = 20
MOST_CONFIGURATIONS = 500
MOST_PLUGINS = 100
MOST_TOKENS = 100
MOST_NETWORKS = 100
MOST_WALKED = 200
"""Folders in which kubeconfigs are looked for."""
SECONDS = 10.0
TOKEN = re.compile(r"token:\s*[\"']?[\w-]+\.([\w-]+)\.[\w-]+")
"""A JSON Web Token: header, claims, signature."""

MALFORMED = (
    OSError,
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
    RecursionError,
    OverflowError,
)
"""What a file that may contain anything raises."""

JsonObject = Dict[str, Any]


def read_all() -> JsonObject:
    """All of them; a folder that does not exist is left out."""
    found: JsonObject = result(_all, SECONDS)
    return found


def _all() -> JsonObject:
    record: JsonObject = {}
    runtime = find_runtime()
    folder, folders = CONFIGURATIONS, [BINARIES]
    if runtime:
        record["runtime"] = runtime
        folder, folders = runtime["configuration_folder"], runtime["plugin_folders"]
    is_known = runtime is not None and "problem" not in runtime
    if os.path.isdir(folder) or is_known:
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        names = [name for name in names if name.endswith(EXTENSIONS)][:MOST_CONFIGURATIONS]
        listed = [_configuration(folder, name) for name in names]
        record["configurations"] = listed
        record["tokens"] = list(islice(_tokens(folder), MOST_TOKENS))
        delegated = [each for each in (_delegated(folder, one) for one in listed) if each]
        if delegated:
            record["delegated"] = delegated
        for each in listed + delegated:
            each.pop("path", None)
    found = [each for each in folders if os.path.isdir(each)]
    if found or is_known:
        record["binaries"] = _programs(found)
    data = _data_folders(record.get("configurations", []) + record.get("delegated", []))
    if "configurations" in record:
        record["data_folders"] = data
    data = [each for each in data if os.path.isdir(each)]
    if data:
        record["reservations"] = [each for folder in data for each in _reservations(folder)]
    return record


def _programs(folders: Iterable[str]) -> List[str]:
    """The executable files in all of the folders."""
    paths = [os.path.join(each, name) for each in folders for name in os.listdir(each)]
    return sorted({os.path.basename(path) for path in paths if os.access(path, os.X_OK)})


def _data_folders(configurations: Iterable[JsonObject]) -> List[str]:
    """Where host-local may keep reservations: the default, and what the configurations name."""
    named = {
        folder
        for each in configurations
        for one in [each, *each.get("delegates", [])]
        for folder in one.get("data_folders", [])
    }
    return [RESERVATIONS, *sorted(named - {RESERVATIONS})[:MOST_FOLDERS]]


def _configuration(folder: str, name: str) -> JsonObject:
    record: JsonObject = {"file": name}
    try:
        content = _json(os.path.join(folder, name))
        record.update(_described(content, name.endswith(".conflist")))
        delegates = content.get("delegates")
        if isinstance(delegates, list) and delegates:
            record["delegates"] = [
                dict({"file": name}, **_described(each, "plugins" in each))
                for each in delegates[:MOST_FOLDERS]
            ]
        called = content.get("clusterNetwork")
        if isinstance(called, str) and called:
            # The path is that of the daemon's container, which mounts the host's root at /host.
            record["path"] = called[5:] if called.startswith("/host/") else called
            record["calls"] = os.path.basename(called.rstrip("/"))
    except MALFORMED as error:
        record["problem"] = "%s: %s" % (type(error).__name__, error)
    return record


def _json(path: str) -> Any:
    return json.loads(content_of(path, MOST_BYTES).decode("utf-8"))


def _described(content: JsonObject, is_list: bool) -> JsonObject:
    plugins = content["plugins"] if is_list else [content]
    ipams = [each["ipam"] for each in plugins if isinstance(each.get("ipam"), dict)]
    record: JsonObject = {
        "network": str(content.get("name", "")),
        "plugins": [str(each["type"]) for each in plugins][:MOST_PLUGINS],
        "ipam": [str(each["type"]) for each in ipams if each.get("type")][:MOST_PLUGINS],
    }
    both = [one for each in plugins for one in (each, each.get("delegate"))]
    masq = [each.get("ipMasq") for each in both if isinstance(each, dict)]
    if True in masq or False in masq:
        record["ip_masq"] = True in masq
    folders = [str(each["dataDir"]).rstrip("/") for each in ipams if each.get("dataDir")]
    kubeconfigs = sorted(set(_kubeconfigs(content)))
    for key, found in (("data_folders", folders), ("kubeconfigs", kubeconfigs)):
        if found:
            record[key] = found[:MOST_FOLDERS]
    return record


def _kubeconfigs(content: Any) -> Iterator[str]:
    """Every path that a key `kubeconfig` names, at any depth."""
    if isinstance(content, dict):
        if isinstance(content.get("kubeconfig"), str):
            yield content["kubeconfig"]
        content = list(content.values())
    if isinstance(content, list):
        for each in content:
            yield from _kubeconfigs(each)


def _delegated(folder: str, configuration: JsonObject) -> Optional[JsonObject]:
    """The configuration outside of the folder that Multus calls for the cluster's network."""
    path = configuration.get("path", "").rstrip("/")
    if os.path.isdir(path) and path != folder:
        names = [each for each in sorted(os.listdir(path)) if each.endswith(EXTENSIONS)]
        return _configuration(path, names[0]) if names else None
    if not os.path.isfile(path) or os.path.dirname(path) in ("", folder):
        return None
    return _configuration(*os.path.split(path))


def _tokens(root: str) -> Iterator[JsonObject]:
    """The expiry of each kubeconfig's token; tokens that never expire are left out."""
    for folder, folders, names in islice(os.walk(root), MOST_WALKED):
        del folders[MOST_FOLDERS:]
        for name in sorted(each for each in names if "kubeconfig" in each):
            path = os.path.join(folder, name)
            expires = _expiry(path)
            if expires is not None:
                yield {"file": os.path.relpath(path, root), "expires": expires}


def _expiry(path: str) -> Optional[float]:
    try:
        found = TOKEN.search(content_of(path, MOST_BYTES).decode("utf-8"))
        if not found:
            return None
        claims = found.group(1)
        decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        expires = float(decoded["exp"])
    except MALFORMED:
        return None
    # JSON has no infinite numbers, but Python reads and writes them.
    return expires if abs(expires) < 1e15 else None


def _reservations(root: str) -> Iterator[JsonObject]:
    """The addresses reserved by host-local, which has one file per address."""
    now = time.time()
    for network in sorted(os.listdir(root))[:MOST_NETWORKS]:
        folder = os.path.join(root, network)
        if not os.path.isdir(folder):
            continue
        names: List[str] = sorted(os.listdir(folder))[:MOST_FILES]
        for name in names:
            if name != "lock" and not name.startswith("last_reserved_ip"):
                try:
                    age = now - os.stat(os.path.join(folder, name)).st_mtime
                except FileNotFoundError:
                    continue  # released in the meantime
                record = {"network": network, "address": name, "age": round(age, 1)}
                yield record if root == RESERVATIONS else dict(record, folder=root)
