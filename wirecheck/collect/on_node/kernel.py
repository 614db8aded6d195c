"""Reads the state of the kernel: sysctls, counters and its log."""

import ctypes
import os
import re
import time
from functools import partial
from typing import Any, Dict, Iterable, List, Optional, Tuple

from wirecheck.collect.on_node.child import result
from wirecheck.collect.on_node.regular_file import RefusedError
from wirecheck.collect.on_node.regular_file import text as text_of

SYSCTLS = (
    "kernel/osrelease",
    "net/bridge/bridge-nf-call-arptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/bridge/bridge-nf-call-iptables",
    "net/core/netdev_max_backlog",
    "net/core/somaxconn",
    "net/ipv4/conf/all/accept_local",
    "net/ipv4/conf/all/arp_filter",
    "net/ipv4/conf/all/arp_ignore",
    "net/ipv4/conf/all/forwarding",
    "net/ipv4/conf/all/proxy_arp",
    "net/ipv4/conf/all/route_localnet",
    "net/ipv4/conf/all/rp_filter",
    "net/ipv4/conf/default/forwarding",
    "net/ipv4/conf/default/rp_filter",
    "net/ipv4/ip_forward",
    "net/ipv4/ip_local_port_range",
    "net/ipv4/ip_local_reserved_ports",
    "net/ipv4/neigh/default/gc_thresh1",
    "net/ipv4/neigh/default/gc_thresh2",
    "net/ipv4/neigh/default/gc_thresh3",
    "net/ipv4/tcp_mtu_probing",
    "net/ipv4/vs/conn_reuse_mode",
    "net/ipv4/vs/conntrack",
    "net/ipv4/vs/expire_nodest_conn",
    "net/ipv4/vs/expire_quiescent_template",
    "net/ipv6/conf/all/disable_ipv6",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/default/disable_ipv6",
    "net/ipv6/neigh/default/gc_thresh1",
    "net/ipv6/neigh/default/gc_thresh2",
    "net/ipv6/neigh/default/gc_thresh3",
    "net/netfilter/nf_conntrack_buckets",
    "net/netfilter/nf_conntrack_count",
    "net/netfilter/nf_conntrack_max",
    "net/netfilter/nf_conntrack_tcp_be_liberal",
    "net/netfilter/nf_conntrack_tcp_timeout_close_wait",
    "net/netfilter/nf_conntrack_tcp_timeout_established",
    "net/netfilter/nf_conntrack_udp_timeout",
    "net/netfilter/nf_conntrack_udp_timeout_stream",
)
FILES = (
    "/proc/net/ip_tables_names",
    "/proc/net/ip6_tables_names",
    "/proc/net/ip_vs",
    "/proc/net/netfilter/nfnetlink_queue",
    "/proc/net/stat/arp_cache",
    "/proc/net/stat/ndisc_cache",
    "/sys/module/nf_conntrack/parameters/hashsize",
)
WRITTEN_BY_PODS = ("/run/flannel/subnet.env",)
PER_INTERFACE = (
    "net/ipv4/conf/%s/accept_local",
    "net/ipv4/conf/%s/arp_filter",
    "net/ipv4/conf/%s/arp_ignore",
    "net/ipv4/conf/%s/forwarding",
    "net/ipv4/conf/%s/proxy_arp",
    "net/ipv4/conf/%s/route_localnet",
    "net/ipv4/conf/%s/rp_filter",
    "net/ipv6/conf/%s/forwarding",
)
MOST_BYTES = 32 << 20
MOST_OF_A_POD = 1 << 16
SECONDS = 2.0
CONNTRACK_STATISTICS = "/proc/net/stat/nf_conntrack"

LOG = "/dev/kmsg"
KERNEL = 8
"""Priorities below are those of the kernel. A process that writes to the log has a facility."""
READ_ALL, SIZE_OF_BUFFER = 3, 10
"""Commands for klogctl."""
PATTERNS = {
    "conntrack table full": r"(?:(?:nf|ip)_conntrack: )+table full\b",
    "neighbour table overflow": (
        r"(?:neighbour: |IPv[46]: |ipv[46]: )?(?:\w+_cache: )?[Nn]eighbou?r table overflow"
    ),
    "route cache full": (
        r"(?:IPv[46]: |ipv[46]: )?(?:Route cache is full: consider|dst cache overflow)"
    ),
    "netdev watchdog": (
        r"(?:netdevice: \S+: |(?:[\w.,+-]+ [\w.:,@+-]*[\w-] )?(?:\S{1,15}|\(unnamed net_device\))"
        r"(?: \((?:uninitialized|unregister(?:ing|ed)|released|dummy|unknown)\))?: )?"
        r"NETDEV WATCHDOG: (?:\S+ \([^()]*\)|CPU: \d+): transmit queue \d+ timed out"
    ),
    "duplicate address": (
        r"(?:IPv6: |ICMPv6: )?\S{1,15}: (?:IPv6 duplicate address \S+ (?:used by \S+ )?detected"
        r"|received packet on \S+ with own address as source)"
    ),
    "netns not freed": r"unregister_netdevice: waiting for \S+ to become free",
    "syn flood": r"(?:TCP: )?(?:\w+: )?[Pp]ossible SYN flooding on port",
    "out of memory": (
        r"(?:TCP: )?(?:[Oo]ut of socket memory|too many (?:of )?orphaned sockets"
        r"|out of memory -- consider tuning tcp_mem)"
    ),
}
"""From the start of a message, because users choose names of processes and interfaces."""
MOST_LINES = 100
"""The number of lines kept per pattern; the latest are kept."""


def read_files(interfaces: Iterable[str], problems: List[str]) -> Dict[str, str]:
    """The text of each file that exists; for interfaces only those that affect routing."""
    paths = ["/proc/sys/" + name for name in SYSCTLS]
    paths += [
        "/proc/sys/" + pattern % name
        for name in interfaces
        if "/" not in name and name not in (".", "..")
        for pattern in PER_INTERFACE
    ]
    found = {}
    for path in paths + list(FILES):
        try:
            found[path] = _content(path).decode("utf-8", "replace").strip("\n")
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            problems.append("%s: %s." % (path, error.strerror))
    for path in WRITTEN_BY_PODS:
        try:
            content = result(partial(_if_there, path), SECONDS)
        except RefusedError as error:
            problems.append("%s: %s." % (path, error))
            continue
        if content is not None:
            found[path] = content.strip("\n")
    return found


def _if_there(path: str) -> Optional[str]:
    try:
        return text_of(path, MOST_OF_A_POD)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _content(path: str) -> bytes:
    """At most MOST_BYTES of a file, piece by piece: sysctls refuse a buffer above 4 MiB."""
    parts = []
    left = MOST_BYTES
    with open(path, "rb", buffering=0) as file:
        while left > 0:
            part = file.read(min(left, 1 << 16))
            if not part:
                break
            parts.append(part)
            left -= len(part)
    return b"".join(parts)


def conntrack_sample() -> Dict[str, Any]:
    """The counters of the netns that the process is in, summed over the CPUs."""
    with open(CONNTRACK_STATISTICS, encoding="ascii") as file:
        names, *rows = [line.split() for line in file]
    counters: Dict[str, int] = {}
    for row in rows:
        for name, value in zip(names, row):  # noqa: B905 - `strict` is newer than 3.6
            if name == "entries":
                counters[name] = int(value, 16)  # the same total in each line
            else:
                counters[name] = counters.get(name, 0) + int(value, 16)
    return {"time": time.time(), "counters": counters}


def read_log(path: str = LOG) -> List[Dict[str, Any]]:
    """The lines that match a pattern, from everything in the kernel's ring buffer."""
    patterns = [(name, re.compile(pattern)) for name, pattern in PATTERNS.items()]
    boot = time.time() - time.monotonic()
    found: Dict[str, List[Dict[str, Any]]] = {}
    for seconds, text in _log_records(path):
        for name, pattern in patterns:
            if pattern.match(text):
                lines = found.setdefault(name, [])
                when = round(boot + seconds, 3)
                lines.append({"time": when, "pattern": name, "text": text[:500]})
                del lines[:-MOST_LINES]
                break
    return sorted(
        (line for lines in found.values() for line in lines), key=lambda line: line["time"]
    )


def log_start(path: str = LOG) -> Optional[float]:
    """The time of the oldest record in the ring buffer; None if it has none."""
    boot = time.time() - time.monotonic()
    for seconds, _ in _log_records(path):
        return round(boot + seconds, 3)
    return None


def _log_records(path: str) -> Iterable[Tuple[float, str]]:
    """(seconds since boot, text) of each record of the kernel itself."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        # A pod's device cgroup blocks /dev/kmsg even with CAP_SYSLOG.
        yield from _log_lines(_log_by_system_call())
        return
    try:
        for head, text in _records(descriptor):
            priority, _, when = head.split(",")[:3]
            if int(priority) < KERNEL:
                yield int(when) / 1e6, text
    finally:
        os.close(descriptor)


def _log_by_system_call() -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    size = libc.klogctl(SIZE_OF_BUFFER, None, 0)
    if size > 0:
        buffer = ctypes.create_string_buffer(min(size, MOST_BYTES))
        length = libc.klogctl(READ_ALL, buffer, len(buffer))
        if length >= 0:
            return buffer.raw[:length].decode("utf-8", "replace")
    code = ctypes.get_errno()
    raise OSError(code, "%s: it needs CAP_SYSLOG" % os.strerror(code))


def _log_lines(text: str) -> Iterable[Tuple[float, str]]:
    """Parse `<6>[   12.345678] text`; a line without a time is left out, because it may be old."""
    for line in text.splitlines():
        match = re.match(r"<(\d+)>\[ *(\d+\.\d+)\](?:\[[^\]]*\])? (.*)", line)
        if match and int(match.group(1)) < KERNEL:
            yield float(match.group(2)), match.group(3)


def _records(descriptor: int) -> Iterable[Any]:
    """(prefix, text) of each record; each read returns one."""
    while True:
        try:
            record = os.read(descriptor, 16384).decode("utf-8", "replace")
        except BrokenPipeError:
            continue  # overwritten before it was read
        except BlockingIOError:
            return
        if not record:
            return
        head, _, text = record.partition(";")
        yield head, text.split("\n")[0]


def describe_host() -> Dict[str, Any]:
    """The identity of this host."""
    return {
        "hostname": os.uname().nodename,
        "machine_id": _line("/etc/machine-id") or _line("/var/lib/dbus/machine-id"),
        "boot_id": _text("/proc/sys/kernel/random/boot_id"),
        "kernel": os.uname().release,
        "os": _os_name(),
        "python": "%d.%d.%d" % _python_version(),
        "cpus": _cpus(),
        "uptime": float((_text("/proc/uptime") or "0").split()[0]),
        "up": _up(),
        "virtualised": _virtualised(),
    }


BOOTTIME = 7
"""CLOCK_BOOTTIME, which Python 3.6 does not name."""


def _up() -> float:
    """Seconds since process 1 started, in a container later than its machine. 0 if unknown."""
    try:
        ticks = int(_text("/proc/1/stat").rpartition(")")[2].split()[19])
        return round(time.clock_gettime(BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"), 1)
    except (IndexError, ValueError, OSError):
        return 0.0


def _python_version() -> Any:
    import sys

    return sys.version_info[:3]


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 16).strip()
    except OSError:
        return ""


def _regular(path: str) -> str:
    try:
        return text_of(path, 1 << 16).strip()
    except OSError:
        return ""


def _line(path: str) -> str:
    return _regular(path)[:200]


def _os_name() -> str:
    for line in _regular("/etc/os-release").splitlines():
        if line.startswith("PRETTY_NAME="):
            return line.partition("=")[2].strip("\"'")[:200]
    return ""


def _cpus() -> int:
    """The number of online CPUs, as kube-proxy counts them: cgroup limits do not matter."""
    count = 0
    for part in _text("/sys/devices/system/cpu/online").split(","):
        first, _, last = part.partition("-")
        if first.isdigit():
            count += int(last or first) - int(first) + 1
    return count or os.cpu_count() or 0


def _virtualised() -> str:
    if os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"):
        return "container"
    cpu = re.search(r"^flags\s*:.*\bhypervisor\b", _text("/proc/cpuinfo"), re.MULTILINE)
    return "virtual machine" if cpu else ""
