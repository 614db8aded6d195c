"""Finds the files that set relevant sysctls at boot, in the order in which systemd applies them."""

import os
import re
from typing import Any, Dict, List

from wirecheck.collect.on_node.child import result
from wirecheck.collect.on_node.regular_file import text_of_host

FOLDERS = ("/etc/sysctl.d", "/run/sysctl.d", "/usr/local/lib/sysctl.d", "/usr/lib/sysctl.d")
"""A file in an earlier folder replaces a file with the same name in a later one."""

MATTERS = re.compile(r"ip_forward|forwarding|bridge-nf-call|rp_filter|nf_conntrack_max")
MOST_BYTES = 1 << 20
MOST_FILES = 1000
MOST_LINES = 1000
SECONDS = 5.0


def read_all(root: str = "") -> List[Dict[str, Any]]:
    """Each file that is applied, with its lines about those sysctls, in the order of application.

    Files are sorted by name, whatever their folder; a link to /dev/null masks a file.
    systemd reads /etc/sysctl.conf only through a link in one of the folders, and so does this.
    """
    found: List[Dict[str, Any]] = result(lambda: _all(root), SECONDS)
    return found


def _all(root: str) -> List[Dict[str, Any]]:
    paths: Dict[str, str] = {}
    for folder in FOLDERS:
        try:
            names = os.listdir(root + folder)
        except OSError:
            continue
        for name in names:
            if name.endswith(".conf"):
                paths.setdefault(name, folder + "/" + name)
    found = []
    for name in sorted(paths)[:MOST_FILES]:
        lines = _lines(root + paths[name])
        if lines:
            found.append({"file": paths[name], "lines": lines})
    return found


def _lines(path: str) -> List[str]:
    if not os.path.isfile(path):
        return []  # a link to /dev/null, or a dangling link
    lines = [line.strip() for line in text_of_host(path, MOST_BYTES).splitlines()]
    kept = [line for line in lines if line[:1] not in ("#", ";", "") and MATTERS.search(line)]
    return [line[:500] for line in kept[:MOST_LINES]]
