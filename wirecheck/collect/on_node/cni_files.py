"""What the CNI plugins on a node go by: configurations, binaries, and addresses given out.

Of a configuration only names, types and ranges leave the node: some plugins keep tokens there.
"""

import json
import os
import time
from typing import Any, Dict, Iterator, List

CONFIGURATIONS = "/etc/cni/net.d"
BINARIES = "/opt/cni/bin"
RESERVATIONS = "/var/lib/cni/networks"
EXTENSIONS = (".conf", ".conflist", ".json")
MOST_BYTES = 1 << 20
MOST_FILES = 5000

Record = Dict[str, Any]


def read_all() -> Record:
    """All three; a folder that is not there is left out."""
    record: Record = {}
    if os.path.isdir(CONFIGURATIONS):
        record["configurations"] = [
            _configuration(name)
            for name in sorted(os.listdir(CONFIGURATIONS))
            if name.endswith(EXTENSIONS)
        ]
    if os.path.isdir(BINARIES):
        record["binaries"] = [
            name
            for name in sorted(os.listdir(BINARIES))
            if os.access(os.path.join(BINARIES, name), os.X_OK)
        ]
    if os.path.isdir(RESERVATIONS):
        record["reservations"] = list(_reservations())
    return record


def _configuration(name: str) -> Record:
    record: Record = {"file": name}
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


def _reservations() -> Iterator[Record]:
    """host-local has a file for each address; its content names the sandbox, its age tells more."""
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
                    continue  # given back meanwhile
                yield {"network": network, "address": name, "age": round(age, 1)}
