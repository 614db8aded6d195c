"""Debian packages that are unpacked into a folder, and installed nowhere.

What a program of an image needs and the nodes do not: installing it would bring more than that,
and change the file system that all nodes have.
"""

from __future__ import annotations

from collections.abc import Sequence

from testbed.commands import TestbedError, run
from testbed.rootfs import SUITE, remove_tree
from testbed.state import State, is_fresh, key_of, mark_fresh, mark_stale

_LIMIT = 1800.0


def unpack(here: State, packages: Sequence[str]) -> None:
    """Have the files of these packages in the state folder's `debian`.

    apt compares each package with the signed list of its archive.
    """
    target = here.root / "debian"
    key = key_of([SUITE, *packages])
    if not packages or is_fresh(target, key):
        return
    mark_stale(target)
    draft = target.with_name("debian.draft")
    remove_tree(draft)
    archives = draft / "archives"
    archives.mkdir(parents=True)
    try:
        run(["apt-get", "download", "--quiet", *packages], cwd=archives, timeout=_LIMIT)
    except TestbedError as error:
        raise TestbedError(
            f"apt cannot download {', '.join(packages)} ({error}): run `apt-get update`, and have"
            f" a source of Debian {SUITE} in /etc/apt/sources.list.d"
        ) from None
    for package in sorted(archives.glob("*.deb")):
        run(["dpkg-deb", "--extract", str(package), str(draft)], timeout=_LIMIT)
    remove_tree(archives)
    remove_tree(target)
    draft.replace(target)
    mark_fresh(target, key)
