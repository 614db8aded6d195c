"""A node in namespaces of its own: run as process 1 of them by `world.py`.

Two pods are ports of a bridge, and one has a pair and a route of its own with proxy_arp, as
Calico does. It prints one line when all stands, and stays until its standard input is closed.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

Pod = dict[str, Any]
Node = dict[str, Any]

NEW_NETWORK = 0x40000000


def ip(*words: str) -> None:
    """Run ip with these words."""
    subprocess.run(["ip", *words], check=True)


def sysctl(path: str, value: str) -> None:
    """Write one setting of a device."""
    Path("/proc/sys/net/ipv4/conf", path).write_text(value)


def bridge(node: Node) -> None:
    """Make the bridge, and a way out, without which proxy_arp answers nobody."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "cni0", "type", "bridge")
    ip("address", "add", f"{node['gateway']}/24", "dev", "cni0")
    ip("link", "set", "cni0", "up")
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1")
    if node["gateway6"]:
        ip("address", "add", f"{node['gateway6']}/64", "dev", "cni0", "nodad")
        Path("/proc/sys/net/ipv6/conf/all/forwarding").write_text("1")
    if not node["has_uplink"]:
        return
    ip("link", "add", "uplink", "type", "veth", "peer", "name", "wire")
    ip("link", "set", "wire", "up")
    ip("address", "add", "192.0.2.2/24", "dev", "uplink")
    ip("link", "set", "uplink", "up")
    ip("route", "add", "default", "via", "192.0.2.1")


def pair(name: str, device: str) -> None:
    """Make a netns with one end of a pair."""
    ip("netns", "add", name)
    ip("link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", name)
    ip("-n", name, "link", "set", "lo", "up")
    ip("-n", name, "link", "set", "eth0", "up")
    ip("link", "set", device, "up")


def bridged(pod: Pod, node: Node) -> None:
    """Make a pod whose pair is a port of the bridge."""
    pair(pod["name"], pod["device"])
    ip("link", "set", pod["device"], "master", "cni0")
    ip("-n", pod["name"], "address", "add", f"{pod['address']}/24", "dev", "eth0")
    ip("-n", pod["name"], "route", "add", "default", "via", node["gateway"])
    if node["gateway6"]:
        ip("-n", pod["name"], "address", "add", f"{pod['address6']}/64", "dev", "eth0", "nodad")
        ip("-n", pod["name"], "-6", "route", "add", "default", "via", node["gateway6"])


def routed(pod: Pod, _: Node) -> None:
    """Make a pod with a route of its own."""
    pair(pod["name"], pod["device"])
    sysctl(f"{pod['device']}/proxy_arp", "1")
    # Otherwise the kernel waits up to 0.8 s at random before it answers for others.
    Path("/proc/sys/net/ipv4/neigh", pod["device"], "proxy_delay").write_text("0")
    ip("route", "add", f"{pod['address']}/32", "dev", pod["device"], "scope", "link")
    ip("-n", pod["name"], "address", "add", f"{pod['address']}/32", "dev", "eth0")
    ip("-n", pod["name"], "route", "add", "169.254.1.1", "dev", "eth0", "scope", "link")
    ip("-n", pod["name"], "route", "add", "default", "via", "169.254.1.1", "dev", "eth0")


def start_process(pod: Pod, cgroup_root: str, ready: int) -> None:
    """A process in the pod's netns and in its cgroup, by which a visit finds the pod."""
    if os.fork():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/run/netns", pod["name"]).open() as netns:
        if libc.setns(netns.fileno(), NEW_NETWORK):
            os._exit(1)
    cgroup = Path(cgroup_root) / "kubepods" / "burstable" / f"pod{pod['uid']}" / ("0" * 64)
    cgroup.mkdir(parents=True, exist_ok=True)
    (cgroup / "cgroup.procs").write_text(str(os.getpid()))
    os.write(ready, b".")
    while True:
        signal.pause()


def main() -> None:
    """Make the node, and stay."""
    described = json.loads(sys.argv[1])
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    node = described["node"]
    bridge(node)
    reader, writer = os.pipe()
    for pod in described["pods"]:
        (routed if pod["routed"] else bridged)(pod, node)
        start_process(pod, described["cgroup"], writer)
    for _ in described["pods"]:
        assert os.read(reader, 1)
    print("ready", flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
