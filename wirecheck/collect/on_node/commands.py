"""The fixed table of commands that run on a node, and how each of them is run."""

import os
import selectors
import shutil
import subprocess
import time
from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from wirecheck.collect.on_node.deadline import Deadline, has_ended, kill, kill_with_me
from wirecheck.collect.on_node.nf_tables import table_names
from wirecheck.collect.on_node.udp_entries import UdpEntries

TABLE: Dict[str, Tuple[str, ...]] = {
    "conntrack-dns": ("conntrack", "-L", "-f", "ipv4", "-p", "udp"),
    "conntrack-dns6": ("conntrack", "-L", "-f", "ipv6", "-p", "udp"),
    "pod-nat": ("iptables-nft-save", "-t", "nat"),
    "pod-nat-legacy": ("iptables-legacy-save", "-t", "nat"),
    "iptables-nft-save": ("iptables-nft-save",),
    "ip6tables-nft-save": ("ip6tables-nft-save",),
    "iptables-legacy-save": ("iptables-legacy-save",),
    "ip6tables-legacy-save": ("ip6tables-legacy-save",),
    "iptables-version": ("iptables", "--version"),
    "iptables-save": ("iptables-save",),
    "ip6tables-save": ("ip6tables-save",),
    "nft-version": ("nft", "--version"),
    "nft-kube-proxy": ("nft", "-j", "list", "table", "ip", "kube-proxy"),
    "nft-kube-proxy6": ("nft", "-j", "list", "table", "ip6", "kube-proxy"),
    "ipset-save": ("ipset", "save"),
    "ipvsadm-save": ("ipvsadm", "--save", "-n"),
}

RULES = (
    "iptables-nft-save",
    "ip6tables-nft-save",
    "iptables-legacy-save",
    "ip6tables-legacy-save",
    "iptables-version",
    "iptables-save",
    "ip6tables-save",
    "nft-version",
    "nft-kube-proxy",
    "nft-kube-proxy6",
    "ipset-save",
    "ipvsadm-save",
)

TABLES = "nft-tables"
"""Not a command: the names of nftables tables, read by netlink and stored like an output."""

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
ENVIRONMENT = {"LC_ALL": "C", "PATH": PATH, "HOME": "/"}
MOST_BYTES = 96 << 20
MOST_UDP_BYTES = 16 << 20
MOST_ERROR_BYTES = 4096
RESERVE = 2.0

LENT: Set[str] = set()
"""In an agent pod: the tools of its image, used if the node lacks them."""
LENDER: Optional[Callable[[], None]] = None
"""Enters the mount namespace where they are."""

JsonObject = Dict[str, Any]


def has(tool: str) -> bool:
    """Whether the tool exists, on the node or in the agent's image."""
    return _on_node(tool) or tool in LENT


def _on_node(tool: str) -> bool:
    return shutil.which(tool, path=PATH) is not None


def run(
    identity: str,
    limit: float,
    enter: Optional[Callable[[], None]] = None,
    entries: Optional[UdpEntries] = None,
) -> JsonObject:
    """Run a command of the table for at most `limit` seconds; `enter` goes to a netns first.

    With `entries` only the lines that these keep are stored, and count for the limit of bytes.
    """
    argv = list(TABLE[identity])
    record: JsonObject = {"argv": argv}
    if not has(argv[0]):
        record["problem"] = "missing"
        return record
    if limit <= 0:
        record["problem"] = "time limit"
        return record
    lender = None if _on_node(argv[0]) else LENDER
    if lender:
        record["lent"] = True

    def prepare() -> None:
        for each in (enter, lender):
            if each:
                each()

    record["started"] = round(time.time(), 3)
    began = time.monotonic()
    child = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
        cwd="/",
        start_new_session=True,
        preexec_fn=prepare,  # noqa: PLW1509 - the program has one thread
    )
    kill_with_me(child.pid)
    output, errors, problem = _collect(child, began + limit, entries)
    if problem:
        kill(child.pid)
        record["problem"] = problem
    status = child.wait()
    has_ended(child.pid)
    if not problem:
        record["status"] = status
        record["output"] = output.decode("utf-8", "replace")
    if errors:
        record["stderr"] = errors.decode("utf-8", "replace")
    record["seconds"] = round(time.monotonic() - began, 3)
    return record


def _collect(
    child: "subprocess.Popen[bytes]", end: float, entries: Optional[UdpEntries]
) -> Tuple[bytes, bytes, str]:
    """Both outputs until the command closes them, or the reason why it was ended early."""
    assert child.stdout is not None
    assert child.stderr is not None
    parts: List[bytes] = []
    errors = b""
    size = 0
    most = MOST_UDP_BYTES if entries else MOST_BYTES
    with selectors.DefaultSelector() as selector, child.stdout, child.stderr:
        selector.register(child.stdout, selectors.EVENT_READ)
        selector.register(child.stderr, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(0.0, end - time.monotonic()))
            if not ready:
                return b"", errors, "time limit"
            for key, _ in ready:
                part = os.read(key.fd, 1 << 18)
                if not part:
                    selector.unregister(key.fileobj)
                elif key.fileobj is child.stdout:
                    parts.append(entries.kept(part) if entries else part)
                    size += len(parts[-1])
                else:
                    errors = (errors + part)[:MOST_ERROR_BYTES]
            if size > most:
                return b"", errors, "too large"
    if entries:
        parts.append(entries.last())
    return b"".join(parts), errors, ""


def list_connections(dns: List[str], deadline: Deadline) -> Dict[str, JsonObject]:
    """The UDP entries for the DNS Service addresses `dns`, and those that are translated."""
    records = {}
    for identity, mark in (("conntrack-dns", "."), ("conntrack-dns6", ":")):
        if not any(mark in each for each in dns):
            records[identity] = _not_asked(identity, "no DNS Service has an address of its family")
            continue
        # They run before the probes and may hang, so each gets only a part of the remaining time.
        records[identity] = run(identity, deadline.left() / 4, entries=UdpEntries(dns))
    return records


def list_rules(deadline: Deadline) -> Dict[str, JsonObject]:
    """The rules of the node's own netns, listed by the tools that are relevant on this node."""
    reasons = _reasons()
    records: Dict[str, JsonObject] = {TABLES: _tables(reasons)}
    for identity in RULES:
        reason = reasons.get(identity, "")
        if identity.startswith("nft-kube-proxy"):
            family = "ip6" if identity.endswith("6") else "ip"
            if not _has_table(records[TABLES], family):
                reason = "there is no table %s kube-proxy" % family
        if identity in ("iptables-save", "ip6tables-save") and not reason:
            reason = _legacy_reason(identity, records["iptables-version"])
        if reason:
            records[identity] = _not_asked(identity, reason)
        else:
            records[identity] = run(identity, deadline.left() - RESERVE)
    return records


def _tables(reasons: Dict[str, str]) -> JsonObject:
    return _not_asked(TABLES, reasons[TABLES]) if TABLES in reasons else table_names()


def _not_asked(identity: str, reason: str) -> JsonObject:
    return {"argv": list(TABLE.get(identity, ())), "problem": "not asked: " + reason}


def _reasons() -> Dict[str, str]:
    """Why some commands are not run on this node: listing may load kernel modules."""
    reasons = {}
    variants = has("iptables-nft-save") or has("iptables-legacy-save")
    for prefix, names in (("ip", "ip_tables_names"), ("ip6", "ip6_tables_names")):
        if variants:
            reasons[prefix + "tables-save"] = "its variants say which tables they list"
        else:
            reasons[prefix + "tables-nft-save"] = "%stables-save is the only variant" % prefix
            reasons[prefix + "tables-legacy-save"] = reasons[prefix + "tables-nft-save"]
        if variants and not legacy_tables(names):
            reasons[prefix + "tables-legacy-save"] = "no legacy table is loaded"
    if variants:
        reasons["iptables-version"] = "its variants say which tables they list"
    if not has("nft"):
        reasons["nft-version"] = "the node has no nft"
    if not can_be_there("nf_tables"):
        for identity in ("iptables-nft-save", "ip6tables-nft-save", TABLES):
            reasons[identity] = "nf_tables is not loaded"
    if not os.path.exists("/proc/net/if_inet6"):
        for identity in ("ip6tables-nft-save", "ip6tables-legacy-save", "ip6tables-save"):
            reasons[identity] = "the node has no IPv6"
    if not os.path.exists("/proc/net/ip_vs"):
        reasons["ipset-save"] = reasons["ipvsadm-save"] = "the node has no IPVS"
    return reasons


def _legacy_reason(identity: str, version: JsonObject) -> str:
    """The legacy iptables-save loads the table that it lists."""
    names = "ip6_tables_names" if identity.startswith("ip6") else "ip_tables_names"
    if "nf_tables" in version.get("output", "") or legacy_tables(names):
        return ""
    return "no legacy table is loaded"


def legacy_tables(names: str = "ip_tables_names") -> List[str]:
    """The legacy tables that are loaded in the netns that the process is in."""
    try:
        with open("/proc/net/" + names, encoding="ascii") as file:
            return file.read().split()
    except OSError:
        return []


def can_be_there(module: str) -> bool:
    """Whether a part of the kernel is loaded already; using it would load it."""
    try:
        with open("/proc/modules", encoding="ascii") as file:
            if any(line.split()[0] == module for line in file):
                return True
        path = "/lib/modules/%s/modules.builtin" % os.uname().release
        with open(path, encoding="ascii") as file:
            return any(line.rstrip().endswith("/%s.ko" % module) for line in file)
    except OSError:
        return True  # the kernel has no modules, or its modules are unknown


def _has_table(tables: JsonObject, family: str) -> bool:
    return "table %s kube-proxy" % family in tables.get("output", "").splitlines()
