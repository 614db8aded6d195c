"""Reads the DNS settings that the kubelet gives to pods, from its flags and its configuration.

Files of its `config-dir` are merged in the kubelet's order: a setting of a later file replaces that
of an earlier one. k3s has the kubelet in its own process, and keeps its settings in such a folder.
"""

import json
import os
import re
from typing import Any, Dict, List, Optional

from wirecheck.collect.on_node.child import result
from wirecheck.collect.on_node.processes import arguments, of_the_node
from wirecheck.collect.on_node.regular_file import RefusedError, text

LARGEST = 1 << 20
MOST_LINES = 100
SECONDS = 5.0
WANTED_FLAGS = ("cluster-dns", "cluster-domain", "config", "config-dir")
WANTED_KEYS = ("clusterDNS", "clusterDomain")
KEY = re.compile(r"[A-Za-z]")
K3S = ("k3s-server", "k3s-agent")
FOLDER_OF_K3S = "/var/lib/rancher/k3s/agent/etc/kubelet.conf.d"
MOST_FILES = 50


def read() -> Optional[Dict[str, Any]]:
    """The settings of the first kubelet process, or of k3s; None if there is none."""
    for pid, _ in of_the_node(("kubelet",)):
        words = arguments(pid)
        if words:
            return _settings(pid, _flags(words))
    for pid, _ in of_the_node(K3S):
        # Before version 1.32 k3s kept nothing there.
        if os.path.isdir("/proc/%s/root%s" % (pid, FOLDER_OF_K3S)):
            return _settings(pid, {"config-dir": FOLDER_OF_K3S})
    return None


def _settings(pid: str, flags: Dict[str, str]) -> Dict[str, Any]:
    return dict({"flags": flags}, **_configuration(pid, flags))


def _flags(words: List[str]) -> Dict[str, str]:
    found = {}
    for place, word in enumerate(words):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name in WANTED_FLAGS:
            found[name] = (value if equals else "".join(words[place + 1 : place + 2]))[:4000]
    return found


def _configuration(pid: str, flags: Dict[str, str]) -> Dict[str, Any]:
    """The lines about DNS: nothing else of the files leaves the node."""
    path, folder = flags.get("config", ""), flags.get("config-dir", "")
    if not path and not folder:
        return {}
    try:
        # Opened below the kubelet's own root, which may differ from this program's.
        root = "/proc/%s/root" % pid
        lines = result(lambda: _lines(path, folder, root), SECONDS)
        return {"lines": lines, "merged": True} if folder else {"lines": lines}
    except OSError as error:
        return {"problem": "%s: %s" % ((folder or path)[:1000], error)}


def _lines(path: str, folder: str, root: str) -> List[str]:
    paths = ([path] if path else []) + (_files(root, folder) if folder else [])
    settings: Dict[str, List[str]] = {}
    for each in paths:
        settings.update(_by_key(_wanted(text(each, LARGEST, root))))
    return [line for lines in settings.values() for line in lines]


def _files(root: str, folder: str) -> List[str]:
    """The files that the kubelet merges, in its order."""

    def refuse(error: OSError) -> None:
        raise error

    found = [
        os.path.join(place[len(root) :], name)
        for place, _, names in os.walk(root + folder, onerror=refuse)
        for name in names
        if name.endswith(".conf")
    ]
    if len(found) > MOST_FILES:
        raise RefusedError("more than %d files" % MOST_FILES)
    return sorted(found, key=lambda each: each.split("/"))


def _by_key(lines: List[str]) -> Dict[str, List[str]]:
    """Each setting with its lines, the first of which names it."""
    found: Dict[str, List[str]] = {}
    key = ""
    for line in lines:
        if KEY.match(line):
            key = line.partition(":")[0].strip()
            found[key] = []
        found[key].append(line)
    return found


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
