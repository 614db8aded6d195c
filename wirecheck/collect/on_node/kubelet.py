"""Reads the DNS settings that the kubelet gives to pods, from its flags and its configuration."""

import json
import re
from typing import Any, Dict, List, Optional

from wirecheck.collect.on_node.child import result
from wirecheck.collect.on_node.processes import arguments, of_the_node
from wirecheck.collect.on_node.regular_file import text

LARGEST = 1 << 20
MOST_LINES = 100
SECONDS = 5.0
WANTED_FLAGS = ("cluster-dns", "cluster-domain", "config", "config-dir")
WANTED_KEYS = ("clusterDNS", "clusterDomain")
KEY = re.compile(r"[A-Za-z]")


def read() -> Optional[Dict[str, Any]]:
    """The settings of the first kubelet process; None if there is none."""
    for pid, _ in of_the_node(("kubelet",)):
        words = arguments(pid)
        if words:
            flags = _flags(words)
            return dict({"flags": flags}, **_configuration(pid, flags.get("config", "")))
    return None


def _flags(words: List[str]) -> Dict[str, str]:
    found = {}
    for place, word in enumerate(words):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name in WANTED_FLAGS:
            found[name] = (value if equals else "".join(words[place + 1 : place + 2]))[:4000]
    return found


def _configuration(pid: str, path: str) -> Dict[str, Any]:
    """The lines about DNS: nothing else of the file leaves the node."""
    if not path:
        return {}
    try:
        # Opened below the kubelet's own root, which may differ from this program's.
        root = "/proc/%s/root" % pid
        return {"lines": result(lambda: _wanted(text(path, LARGEST, root)), SECONDS)}
    except OSError as error:
        return {"problem": "%s: %s" % (path[:1000], error)}


def _wanted(content: str) -> List[str]:
    if content.lstrip().startswith("{"):
        whole = json.loads(content)
        return ["%s: %s" % (key, json.dumps(whole[key])) for key in WANTED_KEYS if key in whole]
    lines: List[str] = []
    within = False
    for line in content.splitlines():
        if KEY.match(line):
            within = line.partition(":")[0].strip() in WANTED_KEYS
        if within:
            lines.append(line)
    return lines[:MOST_LINES]
