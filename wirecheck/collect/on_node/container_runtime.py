"""Finds the container runtime, and the folders that it is configured to use for CNI plugins.

The files are TOML, which Python reads since 3.11 only. Two sections and four keys matter, so a
reader of lines is enough. Nothing else of the files leaves the node.
"""

import glob
import os
import re
from typing import Any, Dict, List, Optional

from wirecheck.collect.on_node.processes import arguments, of_the_node
from wirecheck.collect.on_node.regular_file import text_of_host

CONFIGURATIONS = "/etc/cni/net.d"
BINARIES = "/opt/cni/bin"
CONTAINERD = "/etc/containerd/config.toml"
CRIO = "/etc/crio/crio.conf"
PROGRAMS = ("crio", "cri-dockerd", "containerd", "kubelet")
"""By the kernel's names of the processes, the likeliest first: Docker brings a containerd, too.
The kubelet was the one to call CNI plugins for Docker before Kubernetes 1.24."""
FOLDER_KEYS = ("cni-conf-dir", "cni-config-dir", "conf_dir", "network_dir")
PLUGIN_KEYS = ("cni-bin-dir", "cni-plugin-dir", "bin_dirs", "bin_dir", "plugin_dirs", "plugin_dir")
"""Flags of the runtimes, then keys of their files: the first that is set applies."""
DISABLED = re.compile(r"(^|\.)cri(\.v1\.runtime)?$")
SECTION = re.compile(r"\[+([^\[\]]+)\]+\s*(?:#.*)?$")
SETTING = re.compile(r"\s*([\w-]+)\s*=\s*(.*)")
STRING = re.compile(r"\"([^\"]*)\"|'([^']*)'|(#.*)")
MOST_BYTES = 1 << 20
MOST_FILES = 50
MOST_FOLDERS = 10

Settings = Dict[str, List[str]]


def find(proc: str = "/proc", root: str = "") -> Optional[Dict[str, Any]]:
    """The runtime and its folders; None if no runtime is recognised."""
    running = [(name, arguments(pid, proc)) for pid, name in of_the_node(PROGRAMS, proc)]
    found = sorted(running, key=lambda each: (PROGRAMS.index(each[0]), -len(each[1])))
    for program, words in found:
        flags = _flags(words)
        try:
            settings = _settings(program, flags, root)
        except OSError as error:
            return _record(program, {}, str(error.strerror))
        if settings is not None:
            return _record(program, dict(settings, **flags))
    return None


def _record(program: str, settings: Settings, problem: str = "") -> Dict[str, Any]:
    folders = [each for key in FOLDER_KEYS for each in settings.get(key, [])]
    plugins = [settings[key] for key in PLUGIN_KEYS if settings.get(key)]
    record = {
        "program": program,
        "configuration_folder": _plain((folders or [CONFIGURATIONS])[0]),
        "plugin_folders": [_plain(each) for each in (plugins or [[BINARIES]])[0][:MOST_FOLDERS]],
    }
    return dict(record, problem=problem) if problem else record


def _plain(path: str) -> str:
    return path.rstrip("/") or "/"


def _flags(words: List[str]) -> Settings:
    """The values of each flag: `--name=value` and `--name value`."""
    found: Settings = {}
    for place, word in enumerate(words):
        name, equals, value = word.lstrip("-").partition("=")
        if word.startswith("-"):
            value = value if equals else "".join(words[place + 1 : place + 2])
            found.setdefault(name, []).extend(filter(None, value.split(",")))
    return found


def _settings(program: str, flags: Settings, root: str) -> Optional[Settings]:
    """The settings of its files; None if this program does not call CNI plugins."""
    config = (flags.get("config") or flags.get("c") or [""])[0]
    if program == "kubelet":
        return {} if flags.get("network-plugin") == ["cni"] else None
    if program == "crio":
        folder = (flags.get("config-dir") or flags.get("d") or [(config or CRIO) + ".d"])[0]
        paths = [config or CRIO, *_glob(root, folder + "/*")]
        return _merged([_read(root, path, "network") for path in paths])
    if program == "containerd":
        return _of_containerd(root, config or CONTAINERD)
    return {}


def _of_containerd(root: str, path: str) -> Optional[Settings]:
    main = _read(root, path, "cni")
    imports = [
        each if each.startswith("/") else os.path.join(os.path.dirname(path), each)
        for each in main.get("imports", [])
    ]
    files = [each for pattern in imports[:MOST_FOLDERS] for each in _glob(root, pattern)]
    settings = _merged([main] + [_read(root, each, "cni") for each in files])
    # Docker's own containerd runs without the part that serves the kubelet.
    return None if any(map(DISABLED.search, settings.get("disabled_plugins", []))) else settings


def _glob(root: str, pattern: str) -> List[str]:
    return [each[len(root) :] for each in sorted(glob.glob(root + pattern))[:MOST_FILES]]


def _merged(files: List[Settings]) -> Settings:
    """The last file that sets a key applies; an empty list leaves the default."""
    merged: Settings = {}
    for each in files:
        merged.update({key: values for key, values in each.items() if values})
    return merged


def _read(root: str, path: str, section: str) -> Settings:
    """The strings of each key at the top, and in the section with this last name."""
    found: Settings = {}
    if not os.path.exists(root + path):
        return found  # The defaults apply.
    lines = text_of_host(root + path, MOST_BYTES).splitlines()
    is_wanted, key, open_list = True, "", False
    for line in lines:
        header = None if open_list else SECTION.match(line.strip())
        setting = None if open_list or header else SETTING.match(line)
        if header:
            is_wanted = header.group(1).strip().rpartition(".")[2].strip("\"' ") == section
            key = ""
        elif setting:
            key, value = setting.groups()
            found.update({key: []} if is_wanted else {})
            open_list = value.startswith("[")
        else:
            value = line
        if header or not key:
            continue
        strings = [match.groups() for match in STRING.finditer(value)]
        if is_wanted:
            found[key].extend(one or two or "" for one, two, comment in strings if comment is None)
        plain = STRING.sub("", value)
        open_list = open_list and "]" not in plain
    return {key: list(filter(None, values)) for key, values in found.items()}
