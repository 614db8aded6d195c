"""Reads the files of a node's CNI plugins: configurations, binaries and reserved addresses.

Only names, types and ranges of a configuration leave the node, because some plugins keep tokens
there. Only the expiry of a token leaves the node.
"""

import base64
import json
import os
import re
import time
from typing import Any, Dict, Iterator, List, Optional

CONFIGURATIONS = "/etc/cni/net.d"
BINARIES = "/opt/cni/bin"
RESERVATIONS = "/var/lib/cni/networks"
EXTENSIONS = (".conf", ".conflist", ".json")
MOST_BYTES = 1 << 20
MOST_FILES = 5000
MOST_FOLDERS = 20
TOKEN = re.compile(r"token:\s*[\"']?[\w-]+\.([\w-]+)\.[\w-]+")
"""A JSON Web Token: header, claims, signature."""

JsonObject = Dict[str, Any]


def read_all() -> JsonObject:
    """All three; a folder that does not exist is left out."""
    record: JsonObject = {}
    if os.path.isdir(CONFIGURATIONS):
        record["configurations"] = [
            _configuration(name)
            for name in sorted(os.listdir(CONFIGURATIONS))
            if name.endswith(EXTENSIONS)
        ]
        record["tokens"] = list(_tokens())
    if os.path.isdir(BINARIES):
        record["binaries"] = [
            name
            for name in sorted(os.listdir(BINARIES))
            if os.access(os.path.join(BINARIES, name), os.X_OK)
        ]
    if os.path.isdir(RESERVATIONS):
        record["reservations"] = list(_reservations())
    return record


def _configuration(name: str) -> JsonObject:
    record: JsonObject = {"file": name}
    try:
        with open(os.path.join(CONFIGURATIONS, name), encoding="utf-8") as file:
            content = json.loads(file.read(MOST_BYTES))
        plugins = content["plugins"] if name.endswith(".conflist") else [content]
        record["network"] = str(content.get("name", ""))
        record["plugins"] = [str(each["type"]) for each in plugins]
        ipams = [each["ipam"] for each in plugins if isinstance(each.get("ipam"), dict)]
        record["ipam"] = [str(each["type"]) for each in ipams if each.get("type")]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        record["problem"] = "%s: %s" % (type(error).__name__, error)
    return record


def _tokens() -> Iterator[JsonObject]:
    """The expiry of each kubeconfig's token; tokens that never expire are left out."""
    for folder, folders, names in os.walk(CONFIGURATIONS):
        del folders[MOST_FOLDERS:]
        for name in sorted(each for each in names if "kubeconfig" in each):
            path = os.path.join(folder, name)
            expires = _expiry(path)
            if expires is not None:
                yield {"file": os.path.relpath(path, CONFIGURATIONS), "expires": expires}


def _expiry(path: str) -> Optional[float]:
    try:
        with open(path, encoding="utf-8") as file:
            found = TOKEN.search(file.read(MOST_BYTES))
        if not found:
            return None
        claims = found.group(1)
        decoded = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return float(decoded["exp"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _reservations() -> Iterator[JsonObject]:
    """The addresses reserved by host-local, which has one file per address."""
    now = time.time()
    for network in sorted(os.listdir(RESERVATIONS)):
        folder = os.path.join(RESERVATIONS, network)
        if not os.path.isdir(folder):
            continue
        names: List[str] = sorted(os.listdir(folder))[:MOST_FILES]
        for name in names:
            if name != "lock" and not name.startswith("last_reserved_ip"):
                try:
                    age = now - os.stat(os.path.join(folder, name)).st_mtime
                except FileNotFoundError:
                    continue  # released in the meantime
                yield {"network": network, "address": name, "age": round(age, 1)}
