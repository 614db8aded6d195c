"""Finds, in one pass over /proc, the pod and the netns of each process."""

import os
import re
from typing import Dict, List, Tuple

_UID = r"[0-9a-f]{8}[-_](?:[0-9a-f]{4}[-_]){3}[0-9a-f]{12}|[0-9a-f]{32}"
POD = re.compile(
    r"kubepods(?:[^/]*-|(?:\.slice)?/(?:burstable/|besteffort/|guaranteed/)?)pod(%s)(?=[./:]|$)"
    % _UID
)
"""A pod in a cgroup path, for the systemd and the cgroupfs driver; 32 digits: a static pod."""

RUNTIMES = (("cri-containerd", "containerd"), ("crio-", "crio"), ("docker-", "docker"))
MONITOR = "crio-conmon-"
"""CRI-O can put its monitor into the pod's cgroup, but the monitor stays in the node's netns."""

MONITORS = (
    (b"containerd-shim", b"moby", "docker"),
    (b"containerd-shim", b"k8s.io", "containerd"),
    (b"docker-containerd-shim", b"", "docker"),
    (b"conmon", b"", "crio"),
)
"""Shims between a runtime and its containers, and one argument that identifies the runtime."""

MOST_PARENTS = 8
KEPT_PIDS = 4


class Processes:
    """The result of the pass. Network namespaces are identified by their inode."""

    def __init__(self) -> None:
        self.counts: Dict[int, int] = {}
        self.pids: Dict[int, List[int]] = {}
        self.pods: Dict[str, Dict[int, List[int]]] = {}
        self.members: Dict[str, int] = {}
        self.runtimes: Dict[str, str] = {}
        self.denied = 0


def find_pods(cgroups: str) -> List[Tuple[str, str]]:
    """(uid, runtime) of each pod that a process' cgroup file names, outermost first.

    A process belongs to several only if a cluster runs inside a pod of another one.
    """
    for line in cgroups.splitlines():
        path = line.split(":", 2)[-1]
        found = [
            (match.group(1).replace("_", "-"), _runtime(path[match.end() :]))
            for match in POD.finditer(path)
        ]
        if found:
            return [] if MONITOR in path else found
    return []


def _runtime(rest: str) -> str:
    for part, runtime in RUNTIMES:
        if part in rest:
            return runtime
    return ""


def scan(proc: str = "/proc") -> Processes:
    """Read each process once; a process that ends in the meantime is left out."""
    found = Processes()
    # If the node itself runs in a pod (a nested cluster), every path contains that pod.
    depth = len(find_pods(_cgroups(proc, "1")))
    for name in os.listdir(proc):
        if not name.isdigit():
            continue
        try:
            inode = os.stat("%s/%s/ns/net" % (proc, name)).st_ino
            pods = find_pods(_cgroups(proc, name))
        except PermissionError:
            found.denied += 1
            continue
        except OSError:
            continue
        _keep(found, int(name), inode, pods[depth:])
    for uid, runtime in found.runtimes.items():
        if not runtime:
            pids = [pid for each in found.pods[uid].values() for pid in each]
            found.runtimes[uid] = _runtime_by_parents(proc, min(pids))
    return found


def _runtime_by_parents(proc: str, pid: int) -> str:
    """The runtime that started the pod's first process: cgroupfs paths do not name it."""
    for _ in range(MOST_PARENTS):
        try:
            with open("%s/%d/stat" % (proc, pid), "rb") as file:
                pid = int(file.read().rpartition(b")")[2].split()[1])
            with open("%s/%d/cmdline" % (proc, pid), "rb") as file:
                words = file.read().split(b"\0")
        except (OSError, IndexError, ValueError):
            return ""
        program = os.path.basename(words[0])
        for part, mark, runtime in MONITORS:
            if program.startswith(part) and (not mark or mark in words):
                return runtime
    return ""


def _keep(found: Processes, pid: int, inode: int, pods: List[Tuple[str, str]]) -> None:
    found.counts[inode] = found.counts.get(inode, 0) + 1
    _add(found.pids.setdefault(inode, []), pid)
    if pods:
        uid, runtime = pods[0]
        _add(found.pods.setdefault(uid, {}).setdefault(inode, []), pid)
        found.members[uid] = found.members.get(uid, 0) + 1
        found.runtimes[uid] = found.runtimes.get(uid) or runtime


def _add(pids: List[int], pid: int) -> None:
    if len(pids) < KEPT_PIDS:
        pids.append(pid)


def _cgroups(proc: str, name: str) -> str:
    with open("%s/%s/cgroup" % (proc, name), encoding="utf-8", errors="replace") as file:
        return file.read()


def netns_of(inodes: Dict[int, List[int]], host: int) -> int:
    """The netns of a pod whose processes are in `inodes`.

    A pod's process may enter the node's netns, or create another one (Docker in a pod). The
    pod's netns is that of the process that started first, except for the node's netns.
    """
    own = [inode for inode in inodes if inode != host]
    if not own:
        return host
    if len(own) == 1:
        return own[0]
    return min(own, key=lambda inode: min(map(_started, inodes[inode])))


def _started(pid: int) -> int:
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 1 << 62


def mounted_namespaces(mountinfo: str = "/proc/self/mountinfo") -> Dict[int, str]:
    """Network namespaces that are bind-mounted: inode → path. They can exist without a process."""
    found: Dict[int, str] = {}
    with open(mountinfo, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            words = line.split()
            match = re.match(r"net:\[(\d+)\]$", words[3])
            if match:
                found.setdefault(int(match.group(1)), _unescaped(words[4]))
    return found


def _unescaped(path: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match.group(1), 8)), path)
