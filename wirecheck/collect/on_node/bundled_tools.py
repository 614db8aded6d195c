"""Tools that a distribution of Kubernetes brings along, in folders that are not on the path.

They are the host's: only programs that root owns, below folders that nobody else can write to.
Scripts are left out. k3s' iptables-save is one, and changes links in its folder.
"""

import os
import stat
from typing import Dict, List, Optional

FOLDERS = (
    ("/var/lib/rancher/k3s/data", "current/bin"),
    ("/var/lib/rancher/k3s/data", "current/bin/aux"),
    ("/var/lib/rancher/rke2/data", "../bin"),
    ("/snap/microk8s", "current/usr/sbin"),
    ("/snap/microk8s", "current/sbin"),
    ("/snap/k8s", "current/bin"),
    ("/snap/k8s", "current/usr/sbin"),
    ("/snap/k8s", "current/sbin"),
)
"""Each with the folder that has to contain the program itself, whatever links lead there."""
ELF = b"\x7fELF"
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def bundled(tool: str) -> Optional[str]:
    """The path of the tool in the first folder that has it; None if none does."""
    for data, folder in FOLDERS:
        path = os.path.normpath(os.path.join(data, folder, tool))
        real = os.path.realpath(path)
        if real.startswith(os.path.realpath(data) + "/") and _is_the_hosts(real):
            return path
    return None


def own_libraries(path: str) -> Dict[str, str]:
    """The environment for a bundled program: the libraries of its own snap.

    As with programs, only folders that root alone can write count. Without any, the program uses
    the node's libraries.
    """
    real = os.path.realpath(path)
    for data, folder in FOLDERS:
        root = os.path.realpath(os.path.join(data, folder.partition("/")[0]))
        if real.startswith(root + "/"):
            found = [each for each in _libraries(root) if _is_roots(each)]
            plugins = [os.path.join(each, "xtables") for each in found]
            environment = {"LD_LIBRARY_PATH": ":".join(found)} if found else {}
            existing = [each for each in plugins if os.path.isdir(each)]
            environment.update({"XTABLES_LIBDIR": existing[0]} if existing else {})
            return environment
    return {}


def _libraries(root: str) -> List[str]:
    """`usr/lib/x86_64-linux-gnu` and `lib/x86_64-linux-gnu` below a folder."""
    found = []
    for each in ("usr/lib", "lib"):
        parent = os.path.join(root, each)
        if os.path.isdir(parent):
            found += [os.path.join(parent, name) for name in sorted(os.listdir(parent))]
    return [each for each in found if each.endswith("-linux-gnu") and os.path.isdir(each)]


def _is_the_hosts(path: str) -> bool:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) or not _is_roots(path):
            return False
        with open(path, "rb") as file:
            return file.read(len(ELF)) == ELF
    except OSError:
        return False


def _is_roots(path: str) -> bool:
    """Whether root owns the file and every folder above it, and only root can write to them."""
    status = os.stat(path)
    is_his = not status.st_uid and not status.st_mode & OTHERS_WRITE
    return is_his and (path == "/" or _is_roots(os.path.dirname(path)))
