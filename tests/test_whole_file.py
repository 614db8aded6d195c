"""What is written where: regular files are replaced, everything else is opened and written."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path
from queue import Queue

import pytest

from tests.needs import need
from wirecheck import whole_file
from wirecheck.whole_file import (
    PRIVATE,
    append_line,
    refuse_unwritable,
    refuse_unwritable_folder,
    write_whole,
)

STRANGER = 12345
"""A user id of nobody."""


def left(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


@contextlib.contextmanager
def umask(mask: int):
    before = os.umask(mask)
    yield
    os.umask(before)


@pytest.fixture
def null(tmp_path) -> Path:
    """A device like /dev/null, which a test must not touch: as root it could destroy it."""
    need("root")
    device = tmp_path / "null"
    os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    return device


@pytest.fixture
def shared(tmp_path) -> Path:
    """A folder like /tmp."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    return folder


@pytest.fixture
def reader(tmp_path):
    """A FIFO, and a queue that gets what was written into it."""
    fifo, read = tmp_path / "fifo", Queue()
    os.mkfifo(fifo)
    thread = threading.Thread(target=lambda: read.put(fifo.read_bytes()), daemon=True)
    thread.start()
    yield fifo, read
    thread.join(10)


class TestRegularFiles:
    def test_a_missing_file_is_made_with_the_umask(self, tmp_path):
        with umask(0o027):
            write_whole(tmp_path / "a", "text")
            write_whole(tmp_path / "b", "text", PRIVATE)

        assert (tmp_path / "a").read_text() == "text"
        assert [stat.S_IMODE((tmp_path / each).stat().st_mode) for each in "ab"] == [0o640, 0o600]
        assert left(tmp_path) == ["a", "b"]

    def test_whoever_reads_the_old_one_keeps_it(self, tmp_path):
        file = tmp_path / "a"
        file.write_text("old")
        os.link(file, tmp_path / "hard")
        with file.open() as stream:
            write_whole(file, "new")
            assert stream.read() == "old"

        assert (file.read_text(), (tmp_path / "hard").read_text()) == ("new", "old")

    def test_nothing_is_left_of_a_disk_that_is_full(self, tmp_path, monkeypatch):
        (tmp_path / "a").write_text("old")

        def full(*_):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(whole_file, "_write", full)
        with pytest.raises(OSError, match="No space left"):
            write_whole(tmp_path / "a", "new")

        assert (left(tmp_path), (tmp_path / "a").read_text()) == (["a"], "old")

    def test_a_planted_part_is_not_followed(self, tmp_path, monkeypatch):
        monkeypatch.setattr(whole_file.secrets, "token_hex", lambda _: "guessed")
        (tmp_path / "shadow").write_text("root")
        (tmp_path / ".wirecheck-guessed.part").symlink_to("shadow")

        with pytest.raises(FileExistsError):
            write_whole(tmp_path / "a", "text")

        assert (tmp_path / "shadow").read_text() == "root"

    def test_a_name_as_long_as_names_may_be(self, tmp_path):
        write_whole(tmp_path / ("n" * 255), "text")
        with pytest.raises(OSError, match="too long"):
            refuse_unwritable(tmp_path / ("n" * 256))

    def test_a_mounted_file_is_written_in_place(self, tmp_path):
        """A container's volume may be a single file, which nobody can replace."""
        need("root", "mount")
        (tmp_path / "host").write_text("a longer old text")
        (tmp_path / "volume").write_text("")
        mounted = subprocess.run(
            ["mount", "--bind", tmp_path / "host", tmp_path / "volume"],
            check=False,
            capture_output=True,
        )
        if mounted.returncode:
            pytest.skip("this machine does not allow bind mounts")
        try:
            refuse_unwritable(tmp_path / "volume")
            write_whole(tmp_path / "volume", "new")
        finally:
            subprocess.run(["umount", tmp_path / "volume"], check=True)

        assert (tmp_path / "host").read_text() == "new"
        assert left(tmp_path) == ["host", "volume"]

    def test_another_file_system(self, tmp_path):
        need("root", "mount")
        (tmp_path / "other").mkdir()
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "none", tmp_path / "other"], check=False, capture_output=True
        )
        if mounted.returncode:
            pytest.skip("this machine does not allow mounts")
        try:
            (tmp_path / "link").symlink_to("other/file")
            refuse_unwritable(tmp_path / "link")
            write_whole(tmp_path / "link", "text")
            assert (tmp_path / "other/file").read_text() == "text"
            assert left(tmp_path / "other") == ["file"]
        finally:
            subprocess.run(["umount", tmp_path / "other"], check=True)


class TestLinks:
    def test_the_target_is_replaced_and_the_link_stays(self, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "real/file").write_text("old")
        (tmp_path / "second").symlink_to("real/file")
        (tmp_path / "first").symlink_to(tmp_path / "second")

        refuse_unwritable(tmp_path / "first")
        write_whole(tmp_path / "first", "new")

        assert (tmp_path / "first").is_symlink()
        assert (tmp_path / "real/file").read_text() == "new"
        assert (left(tmp_path), left(tmp_path / "real")) == (["first", "real", "second"], ["file"])

    def test_a_broken_link_gets_its_target(self, tmp_path):
        (tmp_path / "link").symlink_to("later")

        refuse_unwritable(tmp_path / "link")
        write_whole(tmp_path / "link", "text")

        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "later").read_text() == "text"

    @pytest.mark.parametrize(
        ("target", "why"),
        [
            ("link", "symbolic links"),
            ("no/such", r"folder .*/no does not exist"),
            (".", "Is a directory"),
        ],
    )
    def test_what_leads_nowhere_is_refused(self, tmp_path, target, why):
        (tmp_path / "link").symlink_to(target)

        for use in (refuse_unwritable, lambda file: write_whole(file, "text")):
            with pytest.raises(OSError, match=why):
                use(tmp_path / "link")
        assert left(tmp_path) == ["link"]

    def test_dots_after_a_linked_folder_are_those_of_the_kernel(self, tmp_path):
        (tmp_path / "a/b").mkdir(parents=True)
        (tmp_path / "link").symlink_to("a/b")

        write_whole(tmp_path / "link/../file", "text")

        assert (tmp_path / "a/file").read_text() == "text"

    def test_a_link_of_a_stranger_in_a_shared_folder_is_not_followed(self, tmp_path, shared):
        need("root")
        (tmp_path / "passwd").write_text("root")
        (shared / "out").symlink_to(tmp_path / "passwd")
        os.chown(shared / "out", STRANGER, STRANGER, follow_symlinks=False)

        for use in (refuse_unwritable, lambda file: write_whole(file, "text")):
            with pytest.raises(PermissionError, match="another user of a shared folder"):
                use(shared / "out")
        assert (tmp_path / "passwd").read_text() == "root"

    def test_ones_own_link_there_is_followed(self, tmp_path, shared):
        (shared / "out").symlink_to(tmp_path / "file")

        write_whole(shared / "out", "text")

        assert (tmp_path / "file").read_text() == "text"


class TestOtherFiles:
    def test_a_device_stays_a_device(self, null, tmp_path):
        (tmp_path / "link").symlink_to("null")

        for place in (null, tmp_path / "link"):
            refuse_unwritable(place)
            write_whole(place, "text")
            append_line(place, b"line\n")

        assert stat.S_ISCHR(null.stat().st_mode)
        assert (left(tmp_path), (tmp_path / "link").is_symlink()) == (["link", "null"], True)

    def test_a_full_device_is_an_error(self, tmp_path):
        need("root")
        os.mknod(tmp_path / "full", stat.S_IFCHR | 0o666, os.makedev(1, 7))

        with pytest.raises(OSError, match="No space left"):
            write_whole(tmp_path / "full", "text")

    def test_a_disk_is_refused(self, tmp_path):
        need("root")
        os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 250))

        with pytest.raises(OSError, match="block device"):
            refuse_unwritable(tmp_path / "disk")

    def test_a_fifo_is_written_to_its_reader(self, reader):
        fifo, read = reader

        refuse_unwritable(fifo)
        write_whole(fifo, "text" * 50_000)

        assert stat.S_ISFIFO(fifo.stat().st_mode)
        assert read.get(timeout=60) == b"text" * 50_000

    def test_a_fifo_that_nobody_reads_ends_in_time(self, tmp_path, monkeypatch):
        monkeypatch.setattr(whole_file, "READER_SECONDS", 0.0)
        os.mkfifo(tmp_path / "fifo")

        refuse_unwritable(tmp_path / "fifo")
        with pytest.raises(OSError, match="nothing reads"):
            write_whole(tmp_path / "fifo", "text")

    def test_a_fifo_of_a_stranger_in_a_shared_folder_is_refused(self, shared):
        need("root")
        os.mkfifo(shared / "fifo")
        os.chown(shared / "fifo", STRANGER, STRANGER)

        with pytest.raises(PermissionError, match="another user"):
            refuse_unwritable(shared / "fifo")

    def test_a_socket_gets_the_text(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("socket")
            server.listen()

            refuse_unwritable(Path("socket"))
            write_whole(Path("socket"), "text")

            connection, _ = server.accept()
            with connection:
                assert connection.recv(100) == b"text"
        with pytest.raises(ConnectionRefusedError):
            write_whole(Path("socket"), "text")

    def test_a_terminal_is_written_to(self):
        ours, theirs = os.openpty()
        terminal = os.ttyname(theirs)

        refuse_unwritable(Path(terminal))
        write_whole(Path(terminal), "text")

        assert os.read(ours, 100) == b"text"
        os.close(ours)
        os.close(theirs)


class TestDescriptors:
    @pytest.mark.parametrize("folder", ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"])
    def test_an_open_file_goes_on_where_it_is(self, tmp_path, folder):
        """As for a command with `>> file`, and for bash's `>(command)`."""
        with (tmp_path / "file").open("w") as stream:
            stream.write("before ")
            stream.flush()
            place = Path(folder) / str(stream.fileno())
            refuse_unwritable(place)
            write_whole(place, "text")
            append_line(place, b" line")
            stream.write(" after")

        assert (tmp_path / "file").read_text() == "before text line after"

    def test_a_pipe_and_a_socket(self):
        read, write = os.pipe()
        one, other = socket.socketpair()
        os.set_blocking(write, False)
        for number in (write, one.fileno()):
            write_whole(Path(f"/dev/fd/{number}"), "text")

        assert (os.read(read, 100), other.recv(100)) == (b"text", b"text")
        for each in (one, other):
            each.close()
        os.close(read)
        os.close(write)

    def test_what_is_closed_or_read_only_is_refused(self, tmp_path):
        (tmp_path / "file").write_text("old")
        with (tmp_path / "file").open() as stream:
            number = stream.fileno()
            with pytest.raises(OSError, match="reading only"):
                refuse_unwritable(Path(f"/dev/fd/{number}"))
        with pytest.raises(OSError, match="not open"):
            refuse_unwritable(Path(f"/dev/fd/{number}"))
        assert (tmp_path / "file").read_text() == "old"

    def test_the_file_of_another_process_is_opened(self, tmp_path):
        """In a container, the log is /proc/1/fd/1."""
        with (tmp_path / "log").open("w") as log:
            log.write("before ")
            log.flush()
            child = subprocess.Popen(["sleep", "60"], stdout=log)
            try:
                place = Path(f"/proc/{child.pid}/fd/1")
                refuse_unwritable(place)
                write_whole(place, "text")
            finally:
                child.kill()
                child.wait()

        assert (tmp_path / "log").read_text() == "before text"


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "why"),
        [
            (".", "Is a directory"),
            ("folder", "Is a directory"),
            ("folder/..", "Is a directory"),
            ("missing/file", "folder .*missing does not exist"),
            ("file/inside", "Not a directory"),
        ],
    )
    def test_what_cannot_be_written(self, tmp_path, name, why):
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").write_text("old")

        for use in (refuse_unwritable, lambda file: append_line(file, b"x")):
            with pytest.raises(OSError, match=why):
                use(Path(f"{tmp_path}/{name}"))

        assert (left(tmp_path), (tmp_path / "file").read_text()) == (["file", "folder"], "old")

    def test_asking_changes_nothing(self, tmp_path):
        (tmp_path / "file").write_text("old")
        before = (tmp_path / "file").stat()

        for name in ("file", "missing"):
            refuse_unwritable(tmp_path / name)
        refuse_unwritable_folder(tmp_path / "new/reports")

        assert left(tmp_path) == ["file"]
        assert (tmp_path / "file").stat().st_mtime_ns == before.st_mtime_ns

    def test_folders(self, tmp_path):
        (tmp_path / "file").write_text("")
        (tmp_path / "broken").symlink_to("nowhere")

        for name in ("file", "file/reports", "broken"):
            with pytest.raises(NotADirectoryError):
                refuse_unwritable_folder(tmp_path / name)

    def test_as_an_ordinary_user(self, tmp_path, shared):
        """In a process of its own, because root may do everything."""
        need("root")
        tmp_path.chmod(0o755)
        for parent in tmp_path.parents[:3]:
            parent.chmod(parent.stat().st_mode | 0o011)
        closed = tmp_path / "closed"
        closed.mkdir()
        (closed / "open").write_text("old")
        (closed / "open").chmod(0o666)
        (closed / "theirs").write_text("old")
        (shared / "theirs").write_text("old")
        (shared / "theirs").chmod(0o666)
        os.chown(shared / "theirs", STRANGER + 1, -1)
        program = f"""
import os, sys
sys.path.insert(0, {str(Path(whole_file.__file__).parents[1])!r})
from pathlib import Path
from queue import Queue
from wirecheck import whole_file as w
os.setgid({STRANGER}); os.setuid({STRANGER})
for name in ("closed/new", "closed/theirs", "closed/open", "shared/theirs", "shared/new"):
    path = Path({str(tmp_path)!r}) / name
    try:
        w.refuse_unwritable(path)
        w.write_whole(path, "new")
    except OSError as error:
        print(name, error.strerror)
    else:
        print(name, path.read_text())
"""
        said = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
        )

        assert said.stdout.splitlines() == [
            "closed/new Permission denied",
            "closed/theirs Permission denied",
            "closed/open new",
            "shared/theirs Permission denied",
            "shared/new new",
        ]


class TestAppending:
    def test_a_torn_line_is_ended(self, tmp_path):
        (tmp_path / "file").write_text("torn")
        (tmp_path / "link").symlink_to("file")

        append_line(tmp_path / "link", b"one\n")
        append_line(tmp_path / "file", b"two\n")

        assert (tmp_path / "file").read_text() == "torn\none\ntwo\n"


def test_no_other_module_writes():
    """Except the two that write their own schema, and the program that runs on nodes."""
    opens = re.compile(
        r"""\.write_(?:text|bytes)\(|open\([^)\n]*["'][wax]b?\+?["']|O_WRONLY|O_CREAT"""
    )
    root = Path(whole_file.__file__).parent
    found = {
        str(file.relative_to(root))
        for file in root.rglob("*.py")
        if "on_node" not in file.parts and opens.search(file.read_text())
    }

    assert found == {
        "whole_file.py",
        "catalogue/pages.py",
        "inventory/reference.py",
        "report/delivery.py",
        "results/schema.py",
        "snapshot/schema.py",
    }
