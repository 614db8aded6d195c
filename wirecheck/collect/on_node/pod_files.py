"""Reads /etc/resolv.conf of pods, which is untrusted: it may be any kind of file.

A child process reads them: if opening a file never returns (a FUSE mount that does not respond),
the child is killed, and another one continues with the next pod.
"""

import os
import time
from functools import partial
from typing import Dict, List, Tuple

from wirecheck.collect.on_node.child import Send, results
from wirecheck.collect.on_node.regular_file import text

PATH = "/etc/resolv.conf"
MOST_BYTES = 65536
MOST_KEPT = 8192
"""Characters: a node can have 10,000 pods."""
SECONDS = 2.0
KEYWORDS = ("nameserver", "domain", "search", "options", "sortlist", "family", "lookup")


def read(root: str) -> Dict[str, str]:
    """The settings of the file below `root`."""
    try:
        settings = _settings(text(PATH, MOST_BYTES, root))
    except OSError as error:
        return {"refused": error.strerror or "cannot be read"}
    if len(settings) > MOST_KEPT:
        return {"refused": "more than %d characters of settings" % MOST_KEPT}
    return {"text": settings}


def _settings(content: str) -> str:
    """The lines that are resolver settings; nothing else of the file leaves the node."""
    kept = []
    others = 0
    for line in content.splitlines():
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
        found, _ = results(partial(_send_files, waiting), SECONDS, end)
        files.update(found)
        waiting = [each for each in waiting if each[0] not in files]
        if waiting:
            uid, _ = waiting.pop(0)
            files[uid] = {"refused": "no answer within %.0f s" % SECONDS}
    for uid, _ in waiting:
        files[uid] = {"refused": "the time was over"}
    return files


def _send_files(pods: List[Tuple[str, List[int]]], send: Send) -> None:
    """In the child process: send each pod's file, in order."""
    for uid, pids in pods:
        send([uid, _of_pod(pids)])


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
