"""Which files of a Debian root file system belong to some packages and all they depend on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from testbed.commands import TestbedError, run

_MERGED = ("bin", "lib", "lib64", "sbin")
"""Top-level folders that are links into /usr."""

_ALWAYS = (*_MERGED, "etc/ld.so.cache", "etc/passwd", "etc/group", "etc/nsswitch.conf")
_NEEDLESS = re.compile(r"usr/share/(doc|man|locale|info|lintian|bug)(/|$)")


def dependencies(root: Path, packages: Iterable[str]) -> set[str]:
    """The packages with everything they depend on, as far as it is installed in `root`."""
    depends = _installed(root)
    found: set[str] = set()
    waiting = list(packages)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name not in depends:
            raise TestbedError(f"the package {name} is not installed in {root}")
        found.add(name)
        # Of alternatives one is installed; a virtual package is provided by some other one.
        waiting += [n for n in depends[name] if n in depends]
    return found


def _installed(root: Path) -> dict[str, list[str]]:
    listed = run(
        [
            "dpkg-query",
            f"--admindir={root}/var/lib/dpkg",
            "--show",
            "--showformat=${Package}\t${Pre-Depends},${Depends}\n",
        ]
    )
    table = {}
    for line in listed.splitlines():
        name, _, wanted = line.partition("\t")
        table[name] = re.findall(r"[a-z0-9][a-z0-9+.-]+(?=\s*(?::any)?\s*(?:[(,|]|$))", wanted)
    return table


def files_with_dependencies(root: Path, packages: Iterable[str]) -> list[str]:
    """The paths, relative to `root`, of the packages' files, folders before what is in them."""
    paths = {path for path in _ALWAYS if (root / path).is_symlink() or (root / path).exists()}
    for package in dependencies(root, packages):
        paths.update(_files(root, package))
    paths.update(_alternatives(root, paths))
    return sorted(paths)


def _files(root: Path, package: str) -> Iterable[str]:
    info = root / "var/lib/dpkg/info"
    lists = [*info.glob(f"{package}.list"), *info.glob(f"{package}:*.list")]
    for line in lists[0].read_text().splitlines():
        path = _settled(line.lstrip("/"))
        there = (root / path).is_symlink() or (root / path).exists()
        if path not in ("", ".", *_MERGED) and there and not _NEEDLESS.match(path):
            yield path


def _settled(path: str) -> str:
    """Where a file really is: packages name /bin/sh, which is /usr/bin/sh."""
    return f"usr/{path}" if path.startswith(tuple(f"{m}/" for m in _MERGED)) else path


def _alternatives(root: Path, present: set[str]) -> set[str]:
    """The links through which `iptables` becomes `iptables-nft`; no package lists them."""
    found = set()
    for link in (root / "etc/alternatives").iterdir():
        if not link.is_symlink() or _settled(str(link.readlink()).lstrip("/")) not in present:
            continue
        found.add(f"etc/alternatives/{link.name}")
        for folder in ("usr/sbin", "usr/bin"):
            via = root / folder / link.name
            if via.is_symlink() and str(via.readlink()) == f"/etc/alternatives/{link.name}":
                found.add(f"{folder}/{link.name}")
    return found
