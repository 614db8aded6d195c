"""Run the tests as on a machine that has Python and make and nothing else.

`python -m tests.bare [COMMAND …]` runs `make test` with a PATH of one folder: Python, make and the
utilities of POSIX. Where the kernel allows it, the tools of `tests.needs` are hidden from absolute
paths too, because the program for nodes ignores PATH, and the command runs as an ordinary user.

`python -m tests.bare --root COMMAND …` keeps root, PATH and what makes network namespaces, and
hides the other tools: tests that need root must not rely on them either.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.needs import ALL_TOOLS, PROGRAMS
from wirecheck.collect.on_node.commands import TABLE

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wirecheck"
FOLDERS = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")
PRESENT = """
[ awk basename cat chgrp chmod chown cksum cmp comm cp cut date dd df diff dirname du echo egrep env
expr false fgrep find fold getconf grep gunzip gzip head hostname id install join kill ln logname ls
make md5sum mkdir mkfifo mknod mktemp mv nice nl nohup nproc od paste pathchk pr printenv printf pwd
readlink realpath rm rmdir sed seq sh sha1sum sha256sum sleep sort split stat stty sync tail tar tee
test timeout touch tr true truncate tsort tty uname unexpand uniq unlink wc which who whoami xargs
yes
"""
NAMESPACES = ("ip", "mount", "nsenter", "unshare")
"""What the tests make network namespaces with."""
ORDINARY_USER = 1000
CLONE_NEWNS, CLONE_NEWUSER = 0x00020000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000


def main() -> None:
    """Become the command, once the tools are hidden."""
    parser = argparse.ArgumentParser(prog="python -m tests.bare")
    parser.add_argument("--root", action="store_true", help="keep root and network namespaces")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="`make test` if none is given")
    options = parser.parse_args()
    command = options.command or ["make", "test"]
    os.environ.pop(ALL_TOOLS, None)
    if options.root:
        call("unshare", CLONE_NEWNS)
        hide(set(PROGRAMS) - set(NAMESPACES))
    else:
        os.environ["PATH"] = str(links(CACHE / "bare"))
        try:
            become_ordinary()
        except OSError as error:
            print(f"Hidden from PATH, but not from absolute paths: {error}", flush=True)
    os.execvp(command[0], command)


def links(folder: Path) -> Path:
    """Make the folder anew, with links to Python and to the programs that are present."""
    found = {name: shutil.which(name) for name in PRESENT.split()}
    found["python3"] = getattr(sys, "_base_executable", sys.executable)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name, program in found.items():
        if program:
            (folder / name).symlink_to(program)
    return folder


def become_ordinary() -> None:
    """Hide all tools, and give up root's rights; files of this user stay this user's."""
    user, group = os.geteuid(), os.getegid()
    call("unshare", CLONE_NEWUSER | CLONE_NEWNS)
    write_ids(0, user, group)
    hide(PROGRAMS)
    call("unshare", CLONE_NEWUSER)
    write_ids(ORDINARY_USER, 0, 0)


def hide(tools: Iterable[str]) -> None:
    """Mount something that cannot be run over their programs and over all that run on nodes.

    It is seen in this mount namespace alone.
    """
    names = {name for tool in tools for each in PROGRAMS[tool] for name in each.split("|")}
    names |= {words[0] for words in TABLE.values()}
    folders = {*FOLDERS, *os.environ["PATH"].split(":")}
    places = [Path(folder, name) for folder in folders for name in names if "/" not in name]
    # One program may go by many names, as in Alpine: then it stays.
    kept = {Path(found).resolve() for name in PRESENT.split() if (found := shutil.which(name))}
    call("mount", b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    for each in {place.resolve() for place in places if place.exists()} - kept:
        call("mount", b"/dev/null", os.fsencode(each), None, MS_BIND, None)


def write_ids(inside: int, user: int, group: int) -> None:
    """The user and the group have the number `inside` in this user namespace."""
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{inside} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{inside} {group} 1")


def call(function: str, *arguments: object) -> None:
    """Call a function of the C library; its error is an OSError."""
    if getattr(ctypes.CDLL(None, use_errno=True), function)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, f"{function}: {os.strerror(number)}")


if __name__ == "__main__":
    main()
