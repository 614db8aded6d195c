"""Reads files that a pod may have created: they may be of any kind, and links may lead anywhere.

Opening a pipe would wait for its writer, and a link could lead out of a pod's root.
"""

import errno
import os
import stat
from typing import List

MOST_LINKS = 40
"""As many as the kernel follows."""
O_PATH = 0o10000000


class RefusedError(OSError):
    """Why a file is not read."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.EINVAL, why)

    def __str__(self) -> str:
        """The reason alone."""
        return str(self.strerror)


def content(path: str, most: int, root: str = "/") -> bytes:
    """The content of the regular file at `path` below `root`, at most `most` bytes.

    Symbolic links are followed as a process in that root would. Each path component is opened
    separately, so no link can leave the root. Raises OSError.
    """
    opened = [os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
    remaining = path.split("/")[::-1]
    links = 0
    try:
        while remaining:
            name = remaining.pop()
            if name in ("", "."):
                continue
            if name == "..":
                if len(opened) > 1:
                    os.close(opened.pop())
                continue
            flags = O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
            found = os.open(name, flags, dir_fd=opened[-1])
            mode = os.fstat(found).st_mode
            if stat.S_ISLNK(mode):
                os.close(found)
                links += 1
                if links > MOST_LINKS:
                    raise RefusedError("too many symbolic links")
                target = os.readlink(name, dir_fd=opened[-1])
                if target.startswith("/"):
                    while len(opened) > 1:
                        os.close(opened.pop())
                remaining.extend(target.split("/")[::-1])
                continue
            opened.append(found)
            if not stat.S_ISDIR(mode):
                if any(part not in ("", ".") for part in remaining):
                    raise RefusedError(os.strerror(errno.ENOTDIR))
                return _read(found, mode, most)
        raise RefusedError("not a regular file")
    finally:
        for descriptor in opened:
            os.close(descriptor)


def text(path: str, most: int, root: str = "/") -> str:
    """The same as text."""
    return content(path, most, root).decode("utf-8", "replace")


def text_of_host(path: str, most: int) -> str:
    """The same of a file of the node, with its path in the error."""
    if os.path.isdir(path):
        raise RefusedError("%s: %s" % (path, os.strerror(errno.EISDIR)))
    try:
        return text(path, most)
    except OSError as error:
        raise RefusedError("%s: %s" % (path, error.strerror)) from None


def _read(found: int, mode: int, most: int) -> bytes:
    if not stat.S_ISREG(mode):
        raise RefusedError("not a regular file")
    # Opened by its descriptor, so that it is still the file that was checked.
    descriptor = os.open("/proc/self/fd/%d" % found, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        parts: List[bytes] = []
        left = most + 1
        while left:
            part = os.read(descriptor, min(left, 1 << 20))
            if not part:
                return b"".join(parts)
            parts.append(part)
            left -= len(part)
        raise RefusedError("larger than %d bytes" % most)
    finally:
        os.close(descriptor)
