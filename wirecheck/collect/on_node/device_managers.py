"""Finds programs that may manage network devices, and their configuration of devices.

Only the sections and settings about devices that they did not create are kept of their files.
"""

import os
from typing import Any, Dict, List, Tuple

from wirecheck.collect.on_node.child import result
from wirecheck.collect.on_node.processes import of_the_node
from wirecheck.collect.on_node.regular_file import text_of_host

JsonObject = Dict[str, Any]

PROGRAMS = {
    "NetworkManager": "NetworkManager",
    "systemd-network": "systemd-networkd",
    "systemd-udevd": "systemd-udevd",
}
"""By the kernel's name of the process, which it cuts to 15 characters."""

SYSTEMD = ("/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd")
"""A file in an earlier folder replaces a file with the same name in a later one."""
OWN, SHIPPED = "/etc/NetworkManager", ("/run/NetworkManager", "/usr/lib/NetworkManager")

LINK_SETTINGS = ("MACAddress", "MACAddressPolicy")
NETWORKD_SETTINGS = ("ManageForeignRoutingPolicyRules",)
MANAGER_SETTINGS = ("unmanaged-devices", "unmanaged-devices+", "match-device", "managed")
MOST_BYTES = 1 << 16
MOST_FILES = 200
SECONDS = 5.0
MOST_LINES = 100


def read_all(root: str = "") -> JsonObject:
    """All of it."""
    found: JsonObject = result(lambda: _all(root), SECONDS)
    return found


def _all(root: str) -> JsonObject:
    return {
        "running": running(root),
        "links": _files(root, _links(root), LINK_SETTINGS, ("Match",)),
        "networkd": _files(root, _networkd(root), NETWORKD_SETTINGS),
        "network_manager": _files(root, _network_manager(root), MANAGER_SETTINGS),
    }


def running(root: str = "") -> List[str]:
    """The programs that run in the node's netns, and in no pod."""
    return sorted({PROGRAMS[name] for _, name in of_the_node(PROGRAMS, root + "/proc")})


def _links(root: str) -> List[Tuple[str, List[str]]]:
    """Each .link file with its drop-ins, in the order in which they are matched."""
    folders = ["%s/network" % each for each in SYSTEMD]
    found = []
    for name, path in _by_name(root, folders, ".link"):
        drop_ins = ["%s/%s.d" % (each, name) for each in folders]
        found.append((path, [path] + [each for _, each in _by_name(root, drop_ins, ".conf")]))
    return found


def _networkd(root: str) -> List[Tuple[str, List[str]]]:
    main = ["%s/networkd.conf" % each for each in SYSTEMD]
    paths = [each for each in main if os.path.isfile(root + each)][:1]
    drop_ins = ["%s/networkd.conf.d" % each for each in SYSTEMD]
    paths += [path for _, path in _by_name(root, drop_ins, ".conf")]
    return [(path, [path]) for path in paths]


def _network_manager(root: str) -> List[Tuple[str, List[str]]]:
    """The vendor's files, then the main file, then its drop-in folder: the last setting applies."""
    own = _by_name(root, ["%s/conf.d" % OWN], ".conf")
    shadowed = {name for name, _ in own}
    shipped = _by_name(root, ["%s/conf.d" % each for each in SHIPPED], ".conf")
    paths = [path for name, path in shipped if name not in shadowed]
    paths += ["%s/NetworkManager.conf" % OWN] + [path for _, path in own]
    return [(path, [path]) for path in paths]


def _by_name(root: str, folders: List[str], suffix: str) -> List[Tuple[str, str]]:
    """(name, path) sorted by name; a link to /dev/null masks a name."""
    paths: Dict[str, str] = {}
    for folder in folders:
        try:
            names = sorted(os.listdir(root + folder))[:MOST_FILES]
        except OSError:
            continue
        for name in names:
            if name.endswith(suffix):
                paths.setdefault(name, folder + "/" + name)
    return [(name, paths[name]) for name in sorted(paths) if os.path.isfile(root + paths[name])]


def _files(
    root: str,
    files: List[Tuple[str, List[str]]],
    settings: Tuple[str, ...],
    sections: Tuple[str, ...] = (),
) -> List[JsonObject]:
    """The relevant settings; `sections` are kept completely."""
    found = []
    for name, paths in files:
        lines = [line for path in paths for line in _lines(root + path, settings, sections)]
        if any(not line.startswith("[") for line in lines):
            found.append({"file": name, "lines": lines[:MOST_LINES]})
    return found


def _lines(path: str, settings: Tuple[str, ...], sections: Tuple[str, ...]) -> List[str]:
    if not os.path.isfile(path):
        return []
    content = text_of_host(path, MOST_BYTES)
    kept = []
    is_whole = False
    for line in map(str.strip, content.replace("\\\n", " ").splitlines()):
        if line.startswith("["):
            is_whole = line.strip("[]") in sections
            kept.append(line[:200])
        elif line[:1] not in ("#", ";", "") and (is_whole or _key(line) in settings):
            kept.append(line[:500])
    return kept


def _key(line: str) -> str:
    return line.partition("=")[0].strip()
