"""Tools that k3s brings along are used if they are programs of the host."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.needs import need
from wirecheck.collect.on_node import bundled_tools, commands

Change = Callable[[Path], object]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of tools. Others can write to /tmp, so it is elsewhere."""
    need("root")
    base = Path("/root/.wirecheck-test-of-bundled-tools")
    made = base / f"{os.getpid()}" / "data" / "current" / "bin"
    made.mkdir(parents=True, mode=0o755)
    data = str(made.parents[1])
    monkeypatch.setattr(bundled_tools, "FOLDERS", ((data, "current/bin"),))
    monkeypatch.setattr(commands, "PATH", "/nowhere")
    yield made
    for each in sorted(base.rglob("*"), reverse=True):
        each.rmdir() if each.is_dir() and not each.is_symlink() else each.unlink()
    base.rmdir()


def tool(folder: Path, content: bytes = b"\x7fELF\x02\x01") -> Path:
    path = folder / "conntrack"
    path.write_bytes(content)
    path.chmod(0o755)
    return path


def test_a_program_of_the_host_is_used(folder: Path) -> None:
    assert not commands.has("conntrack")

    path = tool(folder)
    assert bundled_tools.bundled("conntrack") == str(path)
    assert commands.has("conntrack")


def test_a_link_to_one_program_for_many_tools_is_followed(folder: Path) -> None:
    tool(folder).rename(folder / "xtables-nft-multi")
    (folder / "iptables-nft-save").symlink_to("xtables-nft-multi")

    assert bundled_tools.bundled("iptables-nft-save") == str(folder / "iptables-nft-save")


CHANGES: dict[str, Change] = {
    "a script": lambda path: path.write_text("#!/bin/sh\n"),
    "another owner": lambda path: os.chown(path, 1000, 1000),
    "writable for the group": lambda path: path.chmod(0o775),
    "writable for everybody": lambda path: path.chmod(0o757),
    "a folder that others can write to": lambda path: path.parent.chmod(0o777),
    "a folder of somebody else": lambda path: os.chown(path.parent, 1000, 1000),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path, 0o755)),
    "a link out of the folder": lambda path: (path.unlink(), path.symlink_to("/bin/true")),
    "a broken link": lambda path: (path.unlink(), path.symlink_to("nothing")),
    "a folder": lambda path: (path.unlink(), path.mkdir(0o755)),
    "nothing": lambda path: path.unlink(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_anything_else_is_not_run(folder: Path, change: Change) -> None:
    change(tool(folder))

    assert bundled_tools.bundled("conntrack") is None
    assert not commands.has("conntrack")


def test_a_snap_s_program_gets_the_libraries_of_the_snap(folder: Path) -> None:
    """Its own folder of libraries, as in MicroK8s: `usr/lib/x86_64-linux-gnu`."""
    path = tool(folder)
    assert bundled_tools.own_libraries(str(path)) == {}

    libraries = folder.parent / "usr" / "lib" / "x86_64-linux-gnu"
    (libraries / "xtables").mkdir(parents=True, mode=0o755)
    found = {"LD_LIBRARY_PATH": str(libraries), "XTABLES_LIBDIR": str(libraries / "xtables")}
    assert bundled_tools.own_libraries(str(path)) == found
    assert bundled_tools.own_libraries("/bin/true") == {}

    libraries.chmod(0o777)
    assert bundled_tools.own_libraries(str(path)) == {}


def test_a_program_that_cannot_be_loaded_is_missing(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "conntrack").write_bytes(Path("/bin/sh").resolve().read_bytes())
    (folder / "conntrack").chmod(0o755)
    said = "echo x: error while loading shared libraries: y >&2; exit 127"
    monkeypatch.setitem(commands.TABLE, "conntrack-dns", ("conntrack", "-c", said))

    assert commands.run("conntrack-dns", 5)["problem"] == "missing"


def test_the_program_runs_under_its_own_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "conntrack").write_bytes(Path("/bin/true").resolve().read_bytes())
    (folder / "conntrack").chmod(0o755)
    record = commands.run("conntrack-dns", 5)

    assert record["status"] == 0
    assert record["argv"][0] == "conntrack"
    assert "lent" not in record
