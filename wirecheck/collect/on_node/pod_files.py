"""Reads /etc/resolv.conf of pods, which is untrusted: it may be any kind of file.

A child process reads them: if opening a file never returns (a FUSE mount that does not respond),
the child is killed, and another one continues with the next pod.
"""

import errno
import json
import os
import select
import signal
import stat
import time
from typing import Any, Dict, List, Tuple

from wirecheck.collect.on_node.deadline import kill, kill_with_me

PATH = "/etc/resolv.conf"
MOST_BYTES = 65536
MOST_LINKS = 8
SECONDS = 2.0
KEYWORDS = ("nameserver", "domain", "search", "options", "sortlist", "family", "lookup")
O_PATH = 0o10000000


class RefusedError(Exception):
    """Why a file is not read."""


def read(root: str, path: str = PATH) -> Dict[str, str]:
    """`path` below `root`, with symbolic links taken as a process in that root would."""
    try:
        return {"text": _settings(_regular_file(root, path))}
    except RefusedError as error:
        return {"refused": str(error)}
    except OSError as error:
        return {"refused": error.strerror or "cannot be read"}


def _regular_file(root: str, path: str) -> bytes:
    """Its content. Each path component is opened separately, so no link can leave the root."""
    opened = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    remaining = path.split("/")[::-1]
    links = 0
    try:
        while remaining:
            name = remaining.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if len(opened) > 1:
                    os.close(opened.pop())
                continue
            flags = O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
            found = os.open(name, flags, dir_fd=opened[-1])
            mode = os.fstat(found).st_mode
            if stat.S_ISLNK(mode):
                os.close(found)
                links += 1
                if links > MOST_LINKS:
                    raise RefusedError("too many symbolic links")
                target = os.readlink(name, dir_fd=opened[-1])
                if target.startswith("/"):
                    while len(opened) > 1:
                        os.close(opened.pop())
                remaining.extend(target.split("/")[::-1])
                continue
            opened.append(found)
            if not stat.S_ISDIR(mode):
                if any(part not in ("", ".") for part in remaining):
                    raise RefusedError(os.strerror(errno.ENOTDIR))
                return _content(found, mode)
        raise RefusedError("not a regular file")
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _content(found: int, mode: int) -> bytes:
    if not stat.S_ISREG(mode):
        raise RefusedError("not a regular file")
    # Opened by its descriptor, so that it is still the file that was checked.
    descriptor = os.open("/proc/self/fd/%d" % found, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        data = b""
        while len(data) <= MOST_BYTES:
            part = os.read(descriptor, MOST_BYTES + 1 - len(data))
            if not part:
                return data
            data += part
        raise RefusedError("larger than %d bytes" % MOST_BYTES)
    finally:
        os.close(descriptor)


def _settings(data: bytes) -> str:
    """The lines that are resolver settings; nothing else of the file leaves the node."""
    kept = []
    others = 0
    for line in data.decode("utf-8", "replace").splitlines():
        words = line.split()
        if words and words[0] in KEYWORDS:
            kept.append(" ".join(words))
        elif words and words[0][0] not in "#;":
            others += 1
    if others:
        kept.append("# %d lines that are not resolver settings" % others)
    return "".join(line + "\n" for line in kept)


def read_all(pods: Dict[str, List[int]], seconds: float) -> Dict[str, Dict[str, str]]:
    """The file of each pod (uid → pids), within `seconds` for all of them."""
    files: Dict[str, Dict[str, str]] = {}
    waiting = sorted(pods.items())
    end = time.monotonic() + seconds
    while waiting and time.monotonic() < end:
        for uid, file in _read_until_stuck(waiting, end):
            files[uid] = file
        waiting = [each for each in waiting if each[0] not in files]
        if waiting:
            uid, _ = waiting.pop(0)
            files[uid] = {"refused": "no answer within %.0f s" % SECONDS}
    for uid, _ in waiting:
        files[uid] = {"refused": "the time was over"}
    return files


def _read_until_stuck(
    pods: List[Tuple[str, List[int]]], end: float
) -> List[Tuple[str, Dict[str, str]]]:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        _write_lines(pods, writer)
    os.close(writer)
    os.setpgid(child, child)
    kill_with_me(child)
    data = b""
    while True:
        left = min(SECONDS, end - time.monotonic())
        ready = select.select([reader], [], [], max(0.0, left))[0]
        part = os.read(reader, 1 << 16) if ready else b""
        if not part:
            break
        data += part
    os.close(reader)
    kill(child)
    if ready:
        os.waitpid(child, 0)
    else:
        os.waitpid(child, os.WNOHANG)  # in uninterruptible sleep it does not react to signals
    found: List[Tuple[str, Any]] = []
    for line in data.split(b"\n")[:-1]:
        uid, file = json.loads(line.decode("ascii"))
        found.append((uid, file))
    return found


def _write_lines(pods: List[Tuple[str, List[int]]], writer: int) -> None:
    """In the child process: write one line per pod, in order."""
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for uid, pids in pods:
            line = json.dumps([uid, _of_pod(pids)]) + "\n"
            data = line.encode("ascii")
            while data:
                data = data[os.write(writer, data) :]
    finally:
        os._exit(0)


def _of_pod(pids: List[int]) -> Dict[str, str]:
    file = {"refused": "its processes ended while it was looked for"}
    for pid in sorted(pids, key=_is_pause):
        root = "/proc/%d/root" % pid
        file = read(root)
        if os.path.isdir(root):
            break
    return file


def _is_pause(pid: int) -> bool:
    """Sorts the pause container last: other containers' files are the ones that pods use."""
    try:
        with open("/proc/%d/comm" % pid, encoding="utf-8", errors="replace") as file:
            return file.read().strip() == "pause"
    except OSError:
        return True
