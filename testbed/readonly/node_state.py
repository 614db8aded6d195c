"""Run on a node, with nothing but Python: its state as JSON, section → what → value.

What moves without anybody doing anything is left out: counters, ages, what the kernel learnt by
itself (neighbours, connections), and the program's own processes.
"""

import json
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

Section = dict[str, str]

WALKED = (
    "/etc",
    "/run",
    "/var/lib/cni",
    "/var/lib/rancher/k3s/agent/etc",
    "/tmp",
    "/root",
    "/home",
    "/var/spool",
    "/var/tmp",
)
REMADE = "/run/cilium/state/"
"""Every two minutes Cilium's agent makes each endpoint's folder anew, of the same files."""
MOST_FILES = 50_000
MOST_BYTES = 65536
LOOSE_SYSCTLS = re.compile(
    r"/(random/|ns_last_pid|pty/nr|nf_conntrack_count|file-nr|inode-nr|inode-state|dentry-state"
    r"|aio-nr|cad_pid|quota/|sched_domain/|net_namespaces$)"
)
COUNTERS = re.compile(r"\[\d+:\d+\]")
PASSING = frozenset(
    {"stats", "stats64", "age", "updated", "used", "expires", "refcnt", "hoplimit", "probes"}
)


def output(*argv: str) -> str:
    """What a command prints; its failure is a value as well, and must not change either."""
    try:
        ended = subprocess.run(
            argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
        )
    except FileNotFoundError:
        return f"no {argv[0]} here"
    if ended.returncode:
        return f"status {ended.returncode}: {ended.stderr.decode(errors='replace')}"
    return ended.stdout.decode(errors="replace")


def numbered(lines: Iterable[str]) -> Section:
    """Lines by themselves, so that a difference names the line and not the list."""
    found: Section = {}
    for line in lines:
        found[line] = str(int(found.get(line, "0")) + 1)
    return found


def rules(inside: tuple[str, ...]) -> Section:
    """All packet filter rules of a netns, without counters. Listing legacy tables loads none."""
    texts = {tool: output(*inside, tool) for tool in ("iptables-nft-save", "ip6tables-nft-save")}
    for tool, names in (
        ("iptables-legacy-save", "ip_tables_names"),
        ("ip6tables-legacy-save", "ip6_tables_names"),
    ):
        tables = output(*inside, "cat", f"/proc/net/{names}")
        texts[names] = " ".join(sorted(tables.split()))
        if tables and not tables.startswith("status"):
            texts[tool] = output(*inside, tool)
    texts["nft"] = output(*inside, "nft", "--stateless", "list", "ruleset")
    if Path("/proc/net/ip_vs").exists():  # else asking would load it
        texts["ipset"] = output(*inside, "ipset", "save")
        texts["ip_vs"] = output(*inside, "ipvsadm", "--save", "-n")
    return numbered(
        f"{tool}: {COUNTERS.sub('', line)}"
        for tool, text in texts.items()
        for line in text.splitlines()
        if not line.startswith("#")
    )


def network(inside: tuple[str, ...]) -> dict[str, Section]:
    """Links, addresses, routes, rules, and the neighbours and FDB entries that were put there."""
    found = {}
    for what, line in {
        "links": "ip -d -j link",
        "addresses": "ip -j address",
        "routes": "ip -j route show table all",
        "routes 6": "ip -6 -j route show table all",
        "routing rules": "ip -j rule",
        "routing rules 6": "ip -6 -j rule",
        "permanent neighbours": "ip -j neighbour show nud permanent",
        "permanent neighbours 6": "ip -6 -j neighbour show nud permanent",
        "permanent fdb": "bridge -j fdb show",
    }.items():
        text = output(*inside, *line.split())
        try:
            entries = json.loads(text or "[]")
        except ValueError:
            entries = [{"said": text, "state": "permanent"}]
        if what == "permanent fdb":
            entries = [each for each in entries if each.get("state") == "permanent"]
        found[what] = numbered(json.dumps(_settled(each), sort_keys=True) for each in entries)
    return found


def _settled(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _settled(inner)
            for name, inner in value.items()
            if name not in PASSING and not name.endswith(("_time", "_timer"))
        }
    if isinstance(value, list):
        return [_settled(each) for each in value]
    return value


def numbers_of_processes() -> list[str]:
    """Every process."""
    return [each.name for each in Path("/proc").iterdir() if each.name.isdigit()]


def namespaces() -> dict[int, str]:
    """Each netns that is there: inode → a process in it."""
    found: dict[int, str] = {}
    for pid in numbers_of_processes():
        try:
            found.setdefault(Path(f"/proc/{pid}/ns/net").stat().st_ino, pid)
        except OSError:
            continue
    return found


def sysctls() -> Section:
    """The content of everything below /proc/sys that can be read."""
    found = {}
    for folder, _, names in os.walk("/proc/sys"):
        for path in (f"{folder}/{name}" for name in names):
            if LOOSE_SYSCTLS.search(path):
                continue
            try:
                with Path(path).open("rb") as file:
                    found[path] = file.read(MOST_BYTES).decode(errors="replace")
            except OSError as error:
                found[path] = f"cannot be read: {error.strerror}"
    return found


def modules() -> Section:
    """The kernel modules that are loaded; none where the kernel has no modules."""
    try:
        lines = Path("/proc/modules").read_text().splitlines()
    except OSError:
        return {}
    return {line.split()[0]: "loaded" for line in lines}


def files() -> Section:
    """Kind, size, owner and time of last change of every file; other file systems aside."""
    found: Section = {}
    for root in WALKED:
        device = _device(root)
        if device is None:
            continue
        for folder, folders, names in os.walk(root):
            folders[:] = [each for each in folders if _device(f"{folder}/{each}") == device]
            for name in (".", *folders, *names):
                try:
                    found[f"{folder}/{name}"] = _described(f"{folder}/{name}")
                except OSError:
                    continue
            if len(found) > MOST_FILES:
                sys.exit(f"more than {MOST_FILES} files below {root}")
    return found


def _described(path: str) -> str:
    seen = Path(path).lstat()
    is_folder = stat.S_ISDIR(seen.st_mode)
    size = 0 if is_folder else seen.st_size
    shown = f"{stat.filemode(seen.st_mode)} {size} bytes {seen.st_uid}:{seen.st_gid}"
    return shown if is_folder and path.startswith(REMADE) else f"{shown} changed {seen.st_mtime_ns}"


def _device(path: str) -> int | None:
    try:
        return Path(path).lstat().st_dev
    except OSError:
        return None


def processes() -> Section:
    """Every process by its number and start, but this one."""
    own = {os.getpid(), os.getppid()} - {0, 1}
    found = {}
    for pid in numbers_of_processes():
        try:
            fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
            argv = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue
        # Kernel threads come and go with the whole machine's work.
        if argv and fields[0] != b"Z" and int(pid) not in own:
            found[f"{pid} since {int(fields[19])}"] = argv.decode(errors="replace").strip()[:300]
    return found


def state() -> dict[str, Section]:
    """Everything, section by section."""
    found = {
        "sysctls": sysctls(),
        "kernel modules": modules(),
        "files": files(),
        "processes": processes(),
    }
    spaces = namespaces()
    found["namespaces"] = {f"netns {inode}": "there" for inode in spaces}
    for inode, pid in sorted(spaces.items()):
        inside = ("nsenter", "-t", pid, "-n")
        for what, entries in {"filter rules": rules(inside), **network(inside)}.items():
            section = found.setdefault(what, {})
            section.update({f"netns {inode}: {key}": n for key, n in entries.items()})
    return found


if __name__ == "__main__":
    json.dump(state(), sys.stdout)
