"""Writes files: the only module that opens one for writing.

A regular file appears whole or not at all: whoever reads the old one keeps it until then. What is
not a regular file (a device, a FIFO, a socket, a terminal) is opened and written, never replaced:
`-o junit=/dev/null` as root must not put a file in the place of the device.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import secrets
import select
import socket
import stat
import sys
import time
from dataclasses import dataclass
from pathlib import Path

MODE = 0o666
"""The mode of new files before the umask."""
PRIVATE = 0o600

READER_SECONDS = 10.0
"""How long a FIFO may have no reader, and a socket may accept nothing."""
_POLL_SECONDS = 0.05
_MOST_LINKS = 40
"""As many symbolic links as the kernel follows."""
_DESCRIPTORS = re.compile(r"/proc/(\d+)(?:/task/\d+)?/fd")
_UNREPLACEABLE = (errno.EACCES, errno.EBUSY, errno.EPERM, errno.EROFS)
"""Why a file's folder does not allow a rename although the file itself may be writable."""
_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NOCTTY


@dataclass(frozen=True, slots=True)
class _Target:
    """Where the bytes go, once symbolic links are followed."""

    path: str
    status: os.stat_result | None = None
    """None where nothing exists yet."""
    descriptor: int | None = None
    """An open file of this process: /dev/stdout, /dev/fd/63."""
    is_foreign: bool = False
    """Whether it is an open file of another process: /proc/1/fd/1, a container's log."""

    @property
    def is_regular(self) -> bool:
        """Whether it is, or will be, a regular file with a name of its own."""
        is_file = self.status is None or stat.S_ISREG(self.status.st_mode)
        return is_file and self.descriptor is None and not self.is_foreign


def write_whole(file: Path, content: str | bytes, mode: int = MODE) -> None:
    """Put `content` in the place of `file` at once; into a device, FIFO or socket, write it.

    A symbolic link stays, and its target is replaced. `mode` is that of a new file, before the
    umask. Raises OSError, and leaves no part behind.
    """
    raw = content.encode() if isinstance(content, str) else content
    target = _target(file)
    if target.is_regular:
        _replace(target, raw, mode)
    else:
        _write_into(target, raw)


def append_line(file: Path, line: bytes, mode: int = MODE) -> None:
    """Append `line` in one write, so that concurrent writers do not mix theirs. Raises OSError.

    It begins on a line of its own, also where an earlier writer died within one.
    """
    target = _target(file)
    if not target.is_regular:
        _write_into(target, line)
        return
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | _FLAGS
    descriptor = os.open(target.path, flags, mode)
    try:
        size = os.fstat(descriptor).st_size
        is_torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        _write(descriptor, b"\n" * is_torn + line)
    finally:
        os.close(descriptor)


def refuse_unwritable(file: Path) -> None:
    """Raise the OSError that `write_whole` would raise, as far as one can know before.

    Writes nothing: a FIFO is not opened, and an existing file keeps its content.
    """
    target = _target(file)
    if target.descriptor is not None:
        _refuse_closed(target.descriptor)
    elif target.status is None:
        _remove_part(_new_part(target.path, PRIVATE))
    elif target.is_regular:
        _refuse_unwritable_file(target)
    elif not os.access(target.path, os.W_OK, effective_ids=True):
        raise _error(errno.EACCES, target.path)


def refuse_unwritable_folder(folder: Path) -> None:
    """Raise OSError if no files can be made in `folder`, which may be missing itself."""
    nearest = os.path.abspath(folder)
    while not os.path.lexists(nearest):
        nearest = os.path.dirname(nearest)
    if not os.path.isdir(nearest):
        raise _error(errno.ENOTDIR, nearest)
    _remove_part(_new_part(f"{nearest}/part", PRIVATE))


def is_replaced(file: Path) -> bool:
    """Whether a later `write_whole` would replace what an earlier one wrote. Raises OSError."""
    return _target(file).is_regular


def _target(file: Path) -> _Target:
    """Follow the symbolic links of the last component one by one. Raises OSError.

    The links in /proc/self/fd are not followed, because their text is not a path.
    """
    path = os.fspath(file)
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(path)
        if name in ("", ".", ".."):
            raise _error(errno.EISDIR, path)
        try:
            folder = os.path.realpath(folder or ".", strict=True)
        except FileNotFoundError:
            raise OSError(errno.ENOENT, f"folder {folder} does not exist", path) from None
        path = f"{folder.rstrip('/')}/{name}"
        if descriptors := _DESCRIPTORS.fullmatch(folder):
            if int(descriptors[1]) == os.getpid() and name.isdecimal():
                return _Target(path, descriptor=int(name))
            return _checked(_Target(path, os.stat(path), is_foreign=True))
        try:
            status = os.lstat(path)
        except FileNotFoundError:
            return _Target(path)
        if not stat.S_ISLNK(status.st_mode):
            return _checked(_Target(path, status))
        _refuse_foreign(path, status)
        path = os.path.join(folder, os.readlink(path))
    raise _error(errno.ELOOP, os.fspath(file))


def _checked(target: _Target) -> _Target:
    assert target.status is not None
    mode = target.status.st_mode
    if stat.S_ISDIR(mode):
        raise _error(errno.EISDIR, target.path)
    if stat.S_ISBLK(mode):
        # A report would overwrite the beginning of a disk.
        raise OSError(errno.EPERM, "it is a block device", target.path)
    if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode):
        _refuse_foreign(target.path, target.status)
    return target


def _refuse_foreign(path: str, status: os.stat_result) -> None:
    """Refuse another user's link or FIFO in a shared sticky folder such as /tmp.

    The kernel does so as well if fs.protected_symlinks and fs.protected_fifos are set, but only
    for links that it follows itself.
    """
    shared = os.stat(os.path.dirname(path))
    is_shared = shared.st_mode & stat.S_ISVTX and shared.st_mode & stat.S_IWOTH
    if is_shared and status.st_uid not in (os.geteuid(), shared.st_uid):
        raise OSError(errno.EACCES, "it belongs to another user of a shared folder", path)


def _replace(target: _Target, raw: bytes, mode: int) -> None:
    try:
        part = _new_part(target.path, mode)
    except OSError as error:
        if target.status is None or error.errno not in _UNREPLACEABLE:
            raise
        _write_in_place(target, raw)
        return
    path, descriptor = part
    try:
        _write(descriptor, raw)
        os.fsync(descriptor)
        try:
            os.replace(path, target.path)
        except OSError as error:
            # A file that is mounted by itself (a container's volume) cannot be replaced.
            if target.status is None or error.errno not in _UNREPLACEABLE:
                raise
            _write_in_place(target, raw)
    finally:
        _remove_part(part)


def _new_part(path: str, mode: int) -> tuple[str, int]:
    """Create a file beside `path` under a name that nobody can know before; open it."""
    part = f"{path.rpartition('/')[0]}/.wirecheck-{secrets.token_hex(8)}.part"
    try:
        return part, os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FLAGS, mode)
    except OSError as error:
        raise _error(error.errno or errno.EIO, path) from None


def _remove_part(part: tuple[str, int]) -> None:
    path, descriptor = part
    os.close(descriptor)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _write_in_place(target: _Target, raw: bytes) -> None:
    """Write into a file that cannot be replaced: it is mounted, or its folder is read-only."""
    descriptor = _opened_in_place(target)
    try:
        os.ftruncate(descriptor, 0)
        _write(descriptor, raw)
    finally:
        os.close(descriptor)


def _opened_in_place(target: _Target) -> int:
    descriptor = os.open(target.path, os.O_WRONLY | os.O_NONBLOCK | _FLAGS)
    status = os.fstat(descriptor)
    try:
        if not stat.S_ISREG(status.st_mode):  # replaced meanwhile
            raise _error(errno.EINVAL, target.path)
        _refuse_foreign(target.path, status)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _refuse_unwritable_file(target: _Target) -> None:
    """A rename needs the folder, and the file itself if it is immutable or mounted read-only."""
    try:
        os.close(_opened_in_place(target))
    except OSError as error:
        if error.errno in (errno.EROFS, errno.EPERM):
            raise
    else:
        return
    _remove_part(_new_part(target.path, PRIVATE))
    assert target.status is not None
    folder = os.stat(os.path.dirname(target.path))
    is_owner = os.geteuid() in (0, target.status.st_uid, folder.st_uid)
    if folder.st_mode & stat.S_ISVTX and not is_owner:
        raise _error(errno.EACCES, target.path)


def _write_into(target: _Target, raw: bytes) -> None:
    if target.descriptor is not None:
        _refuse_closed(target.descriptor)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        _write(target.descriptor, raw)
        return
    assert target.status is not None
    if stat.S_ISSOCK(target.status.st_mode):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(READER_SECONDS)
            connection.connect(target.path)
            connection.sendall(raw)
        return
    descriptor = _opened(target)
    try:
        _write(descriptor, raw)
    finally:
        os.close(descriptor)


def _opened(target: _Target) -> int:
    """Open a device, or a FIFO as soon as it has a reader. Raises OSError."""
    assert target.status is not None
    flags = os.O_WRONLY | os.O_NONBLOCK | _FLAGS
    if target.is_foreign:
        flags = flags & ~os.O_NOFOLLOW | os.O_APPEND
    end = time.monotonic() + READER_SECONDS
    while True:
        try:
            descriptor = os.open(target.path, flags)
        except OSError as error:
            is_waiting = error.errno == errno.ENXIO and stat.S_ISFIFO(target.status.st_mode)
            if not is_waiting:
                raise
            if time.monotonic() > end:
                raise OSError(errno.ENXIO, "nothing reads from this FIFO", target.path) from None
            time.sleep(_POLL_SECONDS)
            continue
        os.set_blocking(descriptor, True)
        return descriptor


def _refuse_closed(descriptor: int) -> None:
    try:
        flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    except OSError:
        raise OSError(errno.EBADF, "this descriptor is not open") from None
    if flags & os.O_ACCMODE == os.O_RDONLY:
        raise OSError(errno.EBADF, "this descriptor is open for reading only")


def _write(descriptor: int, raw: bytes) -> None:
    left = memoryview(raw)
    while left:
        try:
            left = left[os.write(descriptor, left) :]
        except BlockingIOError:  # a standard output that somebody made non-blocking
            if not select.select([], [descriptor], [], READER_SECONDS)[1]:
                raise


def _error(number: int, path: str) -> OSError:
    """The error with the system's text; Python chooses the subclass."""
    return OSError(number, os.strerror(number), path)
