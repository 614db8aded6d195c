"""What tests need beyond Python and make: tools, and rights on this machine.

A test declares it with `@pytest.mark.needs("conntrack", "root")`, a fixture calls `need`. Where
something is missing, the test is skipped and the end of the run counts such tests by what they
need. With WIRECHECK_ALL_TOOLS=1, as in CI, they fail instead.

This module is a pytest plugin; `tests/conftest.py` imports its hooks.
"""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import NoReturn

import pytest

ALL_TOOLS = "WIRECHECK_ALL_TOOLS"

PROGRAMS: dict[str, tuple[str, ...]] = {
    "/usr/bin/python3": ("/usr/bin/python3",),
    "bridge": ("bridge",),
    "browser": ("chromium|google-chrome",),
    "conntrack": ("conntrack",),
    "docker": ("docker", "gcc"),
    "dpkg-query": ("dpkg-query",),
    "git": ("git",),
    "groff": ("groff",),
    "groovy": ("groovy", "java"),
    "helm": ("helm",),
    "ip": ("ip",),
    "iptables": ("iptables", "iptables-nft", "iptables-nft-restore", "iptables-nft-save"),
    "iptables-legacy": ("iptables-legacy-restore", "iptables-legacy-save"),
    "jq": ("jq",),
    "kubectl": ("kubectl",),
    "mount": ("mount", "umount"),
    "nft": ("nft",),
    "nsenter": ("nsenter",),
    "podman": ("podman", "runc|crun"),
    "promtool": ("promtool",),
    "setpriv": ("setpriv",),
    "setsid": ("setsid",),
    "ssh": ("ssh", "ssh-add", "ssh-agent", "ssh-keygen"),
    "sshd": ("sshd",),
    "sudo": ("sudo",),
    "sysctl": ("sysctl",),
    "unshare": ("unshare",),
}
"""Each tool and its programs, all of which must be on PATH; `a|b` means one of the two."""

NOT_IN_CI = {"docker", "python"}
"""CI can neither start a Docker Engine nor install old versions of Python: skipped there too."""

REASON = re.compile(r"needs (\S+), ")


def need(*names: str) -> None:
    """Skip the test unless everything named is here: a tool of `PROGRAMS`, or `root`."""
    __tracebackhide__ = True
    for name in names:
        if name == "root":
            if os.geteuid() != 0:
                lacking("root", f"but runs as user {os.geteuid()}")
        elif not all(map(find, PROGRAMS[name])):
            lacking(name, "which is not installed")


def lacking(name: str, why: str) -> NoReturn:
    """Skip the test because of this; with WIRECHECK_ALL_TOOLS=1 it fails."""
    __tracebackhide__ = True
    reason = f"needs {name}, {why}"
    if os.environ.get(ALL_TOOLS) and name not in NOT_IN_CI:
        pytest.fail(f"{reason}; with {ALL_TOOLS} set, nothing may be missing", pytrace=False)
    pytest.skip(reason)


def find(program: str) -> str | None:
    """The path of a program, or of the first of several: `chromium|google-chrome`."""
    # An ordinary user's PATH may lack the folder of sshd, which is called by its path anyway.
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin" if program == "sshd" else None
    found = (shutil.which(each, path=path) for each in program.split("|"))
    return next(filter(None, found), None)


def python(version: str) -> Path:
    """The interpreter of this minor version; skips where pyenv has not installed it."""
    versions = Path.home() / ".pyenv/versions"
    if found := sorted(versions.glob(f"{version}.*/bin/python")):
        return found[0]
    lacking("python", f"version {version}, which is not installed")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", "needs(*names): skip where one of these is missing")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip before any fixture is set up."""
    need(*(name for marker in item.iter_markers("needs") for name in marker.args))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Count the tests that were skipped, by what is missing."""
    skipped = [str(each.longrepr) for each in terminalreporter.stats.get("skipped", [])]
    counts = Counter(name for reason in skipped for name in REASON.findall(reason))
    if counts:
        terminalreporter.section("skipped because something is missing on this machine")
        for name, count in sorted(counts.items()):
            terminalreporter.line(f"{name}: {count} {'test' if count == 1 else 'tests'}")
        terminalreporter.line(f"in all: {counts.total()}")
