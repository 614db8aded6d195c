"""Reads the DNS settings that the kubelet gives to pods, from its flags and its configuration.

Files of its `config-dir` are merged in the kubelet's order: a setting of a later file replaces that
of an earlier one. k3s has the kubelet in its own process, and keeps its settings in such a folder.
MicroK8s has it in its process kubelite, which reads the kubelet's flags from a file.
"""

import json
import os
import re
from typing import Any, Container, Dict, List, Optional

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
KUBELITE = "kubelite"
OF_KUBELITE = ("kubelet-args-file", "/var/snap/microk8s/current/args/kubelet")
"""The flag with the path of that file, and the path without the flag."""
MOST_FILES = 50


def read() -> Optional[Dict[str, Any]]:
    """The settings of the first kubelet process, or of k3s or MicroK8s; None if there is none."""
    for pid, _ in of_the_node(("kubelet",)):
        words = arguments(pid)
        if words:
            return _settings(pid, _flags(words))
    for pid, _ in of_the_node(K3S):
        # Before version 1.32 k3s kept nothing there.
        if os.path.isdir("/proc/%s/root%s" % (pid, FOLDER_OF_K3S)):
            return _settings(pid, {"config-dir": FOLDER_OF_K3S})
    for pid, _ in of_the_node((KUBELITE,)):
        return _of_kubelite(pid, arguments(pid))
    return None


def _of_kubelite(pid: str, words: List[str]) -> Dict[str, Any]:
    flag, usual = OF_KUBELITE
    path = _values(words, (flag,)).get(flag, usual)
    try:
        lines = result(lambda: text(path, LARGEST, "/proc/%s/root" % pid), SECONDS).splitlines()
    except OSError as error:
        return {"flags": {}, "problem": "%s: %s" % (path[:1000], error)}
    used = (line.strip() for line in lines if not line.lstrip().startswith("#"))
    flags = _flags([word for line in used for word in line.split(None, 1)])
    return _settings(pid, {name: value.strip("\"'") for name, value in flags.items()})


def _settings(pid: str, flags: Dict[str, str]) -> Dict[str, Any]:
    return dict({"flags": flags}, **_configuration(pid, flags))


def _flags(words: List[str]) -> Dict[str, str]:
    return _values(words, WANTED_FLAGS)


def _values(words: List[str], names: Container[str]) -> Dict[str, str]:
    """The values of flags: `--name=value` and `--name value`."""
    found = {}
    for place, word in enumerate(words):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-") and name in names:
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
