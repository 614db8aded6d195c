"""Finds, in one pass over /proc, the pod and the netns of each process."""

import os
import re
from typing import Container, Dict, Iterator, List, Tuple

_UID = r"[0-9a-f]{8}[-_](?:[0-9a-f]{4}[-_]){3}[0-9a-f]{12}|[0-9a-f]{32}"
POD = re.compile(
    r"kubepods(?:(?:-[a-z]+)?-|(?:\.slice)?/(?:burstable/|besteffort/|guaranteed/)?)pod(%s)(?=[./:]|$)"
    % _UID
)
"""A pod in a cgroup path, for the systemd and the cgroupfs driver; 32 digits: a static pod."""

RUNTIMES = (("cri-containerd", "containerd"), ("crio-", "crio"), ("docker-", "docker"))
MONITOR = re.compile(r"[^/]*/crio-conmon-")
"""CRI-O can put its monitor into the pod's cgroup, but the monitor stays in the node's netns.

Only directly below: a container that may create cgroups can do so below its own only.
"""

MONITORS = (
    (b"containerd-shim", b"moby", "docker"),
    (b"containerd-shim", b"k8s.io", "containerd"),
    (b"docker-containerd-shim", b"", "docker"),
    (b"conmon", b"", "crio"),
)
"""Shims between a runtime and its containers, and one argument that identifies the runtime."""

MOST_BYTES = 1 << 20
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
    for line in cgroups.split("\n"):
        path = line.split(":", 2)[-1]
        found: List[Tuple[str, str]] = []
        for match in POD.finditer(path):
            if MONITOR.match(path, match.end()):
                return found
            found.append((match.group(1).replace("_", "-"), _runtime(path[match.end() :])))
        if found:
            return found
    return []


def _runtime(rest: str) -> str:
    for part, runtime in RUNTIMES:
        if part in rest:
            return runtime
    return ""


def scan(proc: str = "/proc") -> Processes:
    """Read each process once; a process that ends in the meantime is left out."""
    found = Processes()
    depth = _depth(proc)
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


def of_the_node(names: Container[str], proc: str = "/proc") -> Iterator[Tuple[str, str]]:
    """(pid, name) of each process with one of these names in the node's netns, and in no pod.

    A process chooses its name, and one of a pod on the host network is in the node's netns, too.
    """
    own = _netns(proc, "self")
    depth = _depth(proc)
    for pid in filter(str.isdigit, os.listdir(proc)):
        try:
            name = _read(proc, pid, "comm").strip()
            if name not in names or _netns(proc, pid) != own:
                continue
            if len(find_pods(_cgroups(proc, pid))) <= depth:
                yield pid, name
        except OSError:
            continue  # It has ended in the meantime.


def arguments(pid: str, proc: str = "/proc") -> List[str]:
    """The words of a process' command line; none if it has ended."""
    try:
        return _read(proc, pid, "cmdline").split("\0")
    except OSError:
        return []


def _netns(proc: str, pid: str) -> str:
    try:
        return os.readlink("%s/%s/ns/net" % (proc, pid))
    except OSError:
        return ""


def _depth(proc: str) -> int:
    """In how many pods the node itself runs (a nested cluster): every path contains them."""
    try:
        return len(find_pods(_cgroups(proc, "1")))
    except OSError:
        return 0


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


def _cgroups(proc: str, pid: str) -> str:
    return _read(proc, pid, "cgroup")


def _read(proc: str, pid: str, name: str) -> str:
    """Bytes, because a name in the file may have what Python takes for the end of a line."""
    with open("%s/%s/%s" % (proc, pid, name), "rb") as file:
        return file.read(MOST_BYTES).decode("utf-8", "replace")


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
    with open(mountinfo, "rb") as file:
        for line in file:
            words = line.split(b" ")
            match = re.match(rb"net:\[(\d+)\]$", words[3]) if len(words) > 4 else None
            if match:
                found.setdefault(int(match.group(1)), os.fsdecode(_unescaped(words[4])))
    return found


def _unescaped(path: bytes) -> bytes:
    return re.sub(rb"\\([0-3][0-7]{2})", lambda match: bytes([int(match.group(1), 8)]), path)
