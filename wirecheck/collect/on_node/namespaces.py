"""Enters network namespaces, and reads their links, addresses, routes and neighbours."""

import contextlib
import ctypes
import errno
import os
import resource
from typing import Any, Dict, Iterator, List, Optional, Set

from wirecheck.collect.on_node import rtnetlink
from wirecheck.collect.on_node.netlink import Netlink
from wirecheck.collect.on_node.processes import Processes

NEW_NETWORK = 0x40000000
CANNOT_RETURN = 70
MOST_NAMESPACES = 20000
MOST_ON_NODE, MOST_IN_POD, MOST_IN_ALL = 1000000, 50000, 1000000
"""Links, addresses, routes, rules and neighbours: of the node, of one other netns, of all others.
"""
SPARE_FILES = 128
"""Open files for everything except network namespaces."""
NEEDED = "CAP_SYS_PTRACE and CAP_SYS_ADMIN beside being root"
COUNT = "/proc/sys/net/netfilter/nf_conntrack_count"

_libc = ctypes.CDLL(None, use_errno=True)


def enter(descriptor: int) -> None:
    """Move this process into the netns behind `descriptor`."""
    if _libc.setns(descriptor, NEW_NETWORK) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


class Namespaces:
    """The network namespaces of this node; the process starts in the node's own."""

    _most_open = SPARE_FILES
    _left = MOST_IN_ALL

    def __init__(self) -> None:
        self.problem = ""
        try:
            self.home = os.open("/proc/1/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            enter(self.home)
        except PermissionError:
            self.problem = "The netns of process 1 could not be opened: the program used its own."
            self.home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self.host = os.fstat(self.home).st_ino
        self.descriptors: Dict[int, int] = {self.host: self.home}
        self._netlink = Netlink()
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most_open = limit - max(SPARE_FILES, limit // 8)

    @contextlib.contextmanager
    def inside(self, inode: int) -> Iterator[None]:
        """Run the block in the netns `inode`; sockets created there stay there."""
        if inode == self.host:
            yield
            return
        enter(self.descriptors[inode])
        try:
            yield
        finally:
            try:
                enter(self.home)
            except OSError:
                # Otherwise everything that follows would be read from the wrong netns.
                os._exit(CANNOT_RETURN)

    def read(self, inode: int, pids: List[int], mounted: str = "") -> Dict[str, Any]:
        """Everything in one netns, or the reason why it could not be read."""
        record: Dict[str, Any] = {"inode": inode}
        if mounted:
            record["mounted"] = mounted
        try:
            self._open(inode, pids, mounted)
            if inode != self.host:
                nsid = rtnetlink.namespace_id(self._netlink, self.descriptors[inode])
                if nsid is not None:
                    record["nsid"] = nsid
            with self.inside(inode):
                self._read_contents(record)
        except OSError as error:
            record["error"] = "The netns %d could not be read: %s." % (inode, error.strerror)
            if isinstance(error, PermissionError):
                record["error"] += " Entering it takes %s." % NEEDED
        return record

    def _open(self, inode: int, pids: List[int], mounted: str) -> None:
        """Keep the netns open, so that it exists until the program ends."""
        if inode in self.descriptors:
            return
        if len(self.descriptors) >= self._most_open:
            raise OSError(errno.EMFILE, "there are more than the limit of open files allows")
        reason = OSError(0, "its processes ended while it was looked for")
        paths = ["/proc/%d/ns/net" % pid for pid in pids]
        if mounted:
            paths.append(mounted)
        for path in paths:
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            except OSError as error:
                reason = error
                continue
            if os.fstat(descriptor).st_ino == inode:
                self.descriptors[inode] = descriptor
                return
            os.close(descriptor)  # the process has ended, or has entered another netns
        raise reason

    def _read_contents(self, record: Dict[str, Any]) -> None:
        """Read part by part: what was read before a failure still identifies the node.

        A pod can fill its netns, so each one has a lower limit than the node, and all share one.
        """
        is_host = record["inode"] == self.host
        netlink = Netlink(most=MOST_ON_NODE if is_host else min(MOST_IN_POD, self._left))
        try:
            for name, read in PARTS:
                record[name] = read(netlink)
            if any(link.get("kind") in ("bridge", "vxlan") for link in record["links"]):
                record["fdb"] = rtnetlink.forwarding_database(netlink)
        finally:
            netlink.close()
            self._left -= 0 if is_host else netlink.received
        entries = _conntrack_count()
        if entries is not None:
            record["conntrack_count"] = entries


PARTS = (
    ("links", rtnetlink.links),
    ("addresses", rtnetlink.addresses),
    ("routes", rtnetlink.routes),
    ("local_routes", rtnetlink.local_routes),
    ("rules", rtnetlink.rules),
    ("neighbours", rtnetlink.neighbours),
)


def _conntrack_count() -> Optional[int]:
    """The number of conntrack entries in the current netns: the file depends on who opens it."""
    try:
        with open(COUNT, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def read_all(
    namespaces: Namespaces,
    processes: Processes,
    mounted: Dict[int, str],
    pods: Set[int],
    records: List[Dict[str, Any]],
) -> None:
    """Add every netns of the node to `records`: its own, those of pods, then all others."""
    inodes = set(processes.counts) | set(mounted) | {namespaces.host}
    order = sorted(inodes, key=lambda each: (each != namespaces.host, each not in pods, each))
    for inode in order[:MOST_NAMESPACES]:
        record = namespaces.read(inode, processes.pids.get(inode, []), mounted.get(inode, ""))
        record["processes"] = processes.counts.get(inode, 0)
        records.append(record)
        if inode not in pods and inode != namespaces.host and inode in namespaces.descriptors:
            # Nothing else is read there, and open files are limited.
            os.close(namespaces.descriptors.pop(inode))
