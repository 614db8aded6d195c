"""Why eBPF maps cannot be read on this node: what is missing is named."""

import errno
import os
import re

LOCKDOWN = ("/proc/1/root/sys/kernel/security/lockdown", "/sys/kernel/security/lockdown")
MOUNTS = "/proc/1/mountinfo"
BPFFS = "/sys/fs/bpf"
CAPABILITY = "reading eBPF maps requires CAP_BPF or CAP_SYS_ADMIN, and the system call bpf"


def problem(number: int) -> str:
    """The error of the system call bpf, with what it may need."""
    if number not in (errno.EPERM, errno.EACCES, errno.ENOSYS):
        return os.strerror(number)
    return "%s: %s%s" % (os.strerror(number), CAPABILITY, _lockdown())


def missing_folder(folder: str, error: OSError) -> str:
    """Why the pins in a folder cannot be listed."""
    why = error.strerror or "it cannot be listed"
    if error.errno == errno.ENOENT and not _is_mounted():
        why += "; no bpffs is mounted at %s" % BPFFS
    return "%s: %s" % (folder, why)


def _is_mounted() -> bool:
    """Whether the node has a bpffs where Cilium pins its maps; True if that is not known."""
    try:
        with open(MOUNTS, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.split() for line in file]
    except OSError:
        return True
    own = [each for each in lines if "-" in each and each[4] == BPFFS]
    return any(each[each.index("-") + 1 :][:1] == ["bpf"] for each in own)


def _lockdown() -> str:
    """The mode of the kernel's lockdown, which can refuse the system call; empty without one."""
    for path in LOCKDOWN:
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                mode = re.search(r"\[([a-z]{1,20})\]", file.read(200))
        except OSError:
            continue
        if mode and mode.group(1) != "none":
            return ". The kernel is locked down (%s)" % mode.group(1)
        return ""
    return ""
