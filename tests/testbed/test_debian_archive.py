"""Packages that are unpacked into the cache and installed nowhere."""

from pathlib import Path

import pytest

from testbed import debian_archive
from testbed.commands import TestbedError
from testbed.debian_archive import unpack
from testbed.state import State


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []

    def run(argv: list[str], *, cwd: Path | None = None, **_: object) -> str:
        calls.append(argv)
        if argv[0] == "apt-get":
            assert cwd is not None
            for name in argv[3:]:
                (cwd / f"{name}_1_amd64.deb").write_text(name)
        else:
            package, folder = Path(argv[2]), Path(argv[3])
            (folder / "usr").mkdir(exist_ok=True)
            (folder / "usr" / package.name.partition("_")[0]).write_text(package.read_text())
        return ""

    monkeypatch.setattr(debian_archive, "run", run)
    return calls


def unpacked(folder: Path) -> list[str]:
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


def test_each_package_is_downloaded_and_unpacked(tmp_path: Path, ran: list[list[str]]) -> None:
    unpack(State(tmp_path), ["clang-19", "libllvm19"])

    assert ran[0] == ["apt-get", "download", "--quiet", "clang-19", "libllvm19"]
    assert unpacked(tmp_path / "debian") == ["usr/clang-19", "usr/libllvm19"]


def test_what_is_there_is_not_downloaded_again(tmp_path: Path, ran: list[list[str]]) -> None:
    for _ in range(2):
        unpack(State(tmp_path), ["clang-19"])

    assert len(ran) == 2


def test_other_packages_take_their_place(tmp_path: Path, ran: list[list[str]]) -> None:
    unpack(State(tmp_path), ["clang-19"])
    unpack(State(tmp_path), ["libllvm19"])

    assert unpacked(tmp_path / "debian") == ["usr/libllvm19"]


def test_a_network_without_such_packages_downloads_nothing(
    tmp_path: Path, ran: list[list[str]]
) -> None:
    unpack(State(tmp_path), [])

    assert not ran


def test_a_package_that_cannot_be_had_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> str:
        raise TestbedError("Unable to locate package clang-19")

    monkeypatch.setattr(debian_archive, "run", fail)

    with pytest.raises(TestbedError, match=r"apt cannot download clang-19 .* Debian bookworm"):
        unpack(State(tmp_path), ["clang-19"])
    assert not (tmp_path / "debian").exists()
