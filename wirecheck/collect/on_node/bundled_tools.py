"""Tools that a distribution of Kubernetes brings along, in folders that are not on the path.

They are the host's: only programs that root owns, below folders that nobody else can write to.
Scripts are left out. k3s' iptables-save is one, and changes links in its folder.
"""

import os
import stat
from typing import Optional

FOLDERS = (
    ("/var/lib/rancher/k3s/data", "current/bin"),
    ("/var/lib/rancher/k3s/data", "current/bin/aux"),
    ("/var/lib/rancher/rke2/data", "../bin"),
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
