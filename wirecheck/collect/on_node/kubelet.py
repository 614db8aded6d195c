"""Reads the DNS settings that the kubelet gives to pods, from its flags and its configuration."""

import json
import os
import re
from typing import Any, Dict, List, Optional

LARGEST = 1 << 20
WANTED_FLAGS = ("cluster-dns", "cluster-domain", "config", "config-dir")
WANTED_KEYS = ("clusterDNS", "clusterDomain")
KEY = re.compile(r"[A-Za-z]")


def read() -> Optional[Dict[str, Any]]:
    """The settings of the first kubelet process; None if there is none."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        words = _command_line(pid)
        if words:
            flags = _flags(words)
            return dict({"flags": flags}, **_configuration(pid, flags.get("config", "")))
    return None


def _command_line(pid: str) -> List[str]:
    """The arguments of a kubelet's command line; empty if the process is not a kubelet."""
    try:
        with open("/proc/%s/comm" % pid) as file:
            if file.read().strip() != "kubelet":
                return []
        with open("/proc/%s/cmdline" % pid, errors="replace") as file:
            return file.read().split("\0")
    except OSError:
        return []  # It has ended in the meantime.


def _flags(words: List[str]) -> Dict[str, str]:
    found = {}
    for place, word in enumerate(words):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name in WANTED_FLAGS:
            found[name] = value if equals else "".join(words[place + 1 : place + 2])
    return found


def _configuration(pid: str, path: str) -> Dict[str, Any]:
    """The lines about DNS: nothing else of the file leaves the node."""
    if not path:
        return {}
    try:
        # Opened below the kubelet's own root, which may differ from this program's.
        with open("/proc/%s/root/%s" % (pid, path.lstrip("/")), errors="replace") as file:
            return {"lines": _wanted(file.read(LARGEST))}
    except (OSError, ValueError) as error:
        return {"problem": "%s: %s" % (path, error)}


def _wanted(text: str) -> List[str]:
    if text.lstrip().startswith("{"):
        content = json.loads(text)
        return ["%s: %s" % (key, json.dumps(content[key])) for key in WANTED_KEYS if key in content]
    lines = []
    within = False
    for line in text.splitlines():
        if KEY.match(line):
            within = line.partition(":")[0].strip() in WANTED_KEYS
        if within:
            lines.append(line)
    return lines
