"""resolv.conf in roots that were made to deceive."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wirecheck.collect.on_node import pod_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/etc").mkdir(parents=True)
    (tmp_path / "secret").write_text("nameserver 6.6.6.6\n")
    return tmp_path / "root"


def read(root: Path) -> dict[str, str]:
    return pod_files.read(str(root))


def test_reads_the_settings(root: Path) -> None:
    (root / "etc/resolv.conf").write_text(
        "# made by kubelet\nsearch  a.svc.x svc.x\nnameserver 10.96.0.10\n\noptions ndots:5\n"
    )

    assert read(root) == {"text": "search a.svc.x svc.x\nnameserver 10.96.0.10\noptions ndots:5\n"}


def test_follows_a_link_as_the_pod_would(root: Path) -> None:
    (root / "run").mkdir()
    (root / "run/resolv.conf").write_text("nameserver 1.1.1.1\n")
    (root / "etc/resolv.conf").symlink_to("/run/resolv.conf")

    assert read(root) == {"text": "nameserver 1.1.1.1\n"}


@pytest.mark.parametrize(
    "target", ["../../secret", "../../../../../../../../../../{}/secret", "{}/secret"]
)
def test_no_link_leads_out_of_the_root(root: Path, target: str) -> None:
    (root / "etc/resolv.conf").symlink_to(target.format(root.parent))

    assert read(root) == {"refused": "No such file or directory"}


def test_no_link_of_a_directory_leads_out_of_the_root(root: Path) -> None:
    (root / "etc").rmdir()
    (root / "etc").symlink_to(root.parent / "elsewhere")
    (root.parent / "elsewhere").mkdir()
    (root.parent / "elsewhere/resolv.conf").write_text("nameserver 6.6.6.6\n")

    assert read(root) == {"refused": "No such file or directory"}


def test_links_in_a_circle(root: Path) -> None:
    (root / "etc/resolv.conf").symlink_to("resolv.conf")

    assert read(root) == {"refused": "too many symbolic links"}


def test_a_pipe_is_not_opened(root: Path) -> None:
    os.mkfifo(root / "etc/resolv.conf")

    assert read(root) == {"refused": "not a regular file"}


def test_a_directory(root: Path) -> None:
    (root / "etc/resolv.conf").mkdir()

    assert read(root) == {"refused": "not a regular file"}


def test_a_file_below_a_file(root: Path) -> None:
    (root / "etc").rmdir()
    (root / "etc").write_text("")

    assert read(root) == {"refused": "Not a directory"}


def test_a_file_without_end(root: Path) -> None:
    with (root / "etc/resolv.conf").open("wb") as file:
        file.truncate(1 << 40)

    assert read(root) == {"refused": "larger than 65536 bytes"}


def test_no_file(root: Path) -> None:
    assert read(root) == {"refused": "No such file or directory"}


def test_whatever_is_no_setting_stays_where_it_is(root: Path) -> None:
    (root / "etc/resolv.conf").write_bytes(
        b"root:$6$salt$hash:1::\n\xff\xfe\nnameserver 10.0.0.1\n"
    )

    text = read(root)["text"]

    assert "salt" not in text
    assert text == "nameserver 10.0.0.1\n# 2 lines that are not resolver settings\n"


def test_a_file_that_never_opens_costs_its_own_pod_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def of_pod(pids: list[int]) -> dict[str, str]:
        while pids == [2]:
            os.read(hanging, 1)
        return {"text": f"nameserver 10.0.0.{pids[0]}\n"}

    hanging, writer = os.pipe()
    monkeypatch.setattr(pod_files, "_of_pod", of_pod)
    monkeypatch.setattr(pod_files, "SECONDS", 2.0)

    files = pod_files.read_all({"a": [1], "b": [2], "c": [3]}, seconds=30)

    assert files["a"] == {"text": "nameserver 10.0.0.1\n"}
    assert files["b"]["refused"].startswith("no answer within")
    assert files["c"] == {"text": "nameserver 10.0.0.3\n"}
    os.close(hanging)
    os.close(writer)


def test_pods_beyond_the_time_are_named() -> None:
    assert pod_files.read_all({"a": [1]}, seconds=0) == {"a": {"refused": "the time was over"}}
