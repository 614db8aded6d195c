"""A node in namespaces of its own: run as process 1 of them, by the fixture in conftest.py.

It has a bridge, pods in network namespaces with processes in kubepods cgroups, and a DNS
server at the Service address. Reads its description from the first argument (JSON), prints
one line of JSON when all stands, and stays until its standard input is closed.
"""

import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import dns.message
import dns.rdatatype
import dns.rrset

DNS = "10.96.0.10"
DNS_V6 = "fd00:96::a"


def ip(*words):
    subprocess.run(["ip", *words], check=True)


def make_wires(pods):
    ip("link", "set", "lo", "up")
    ip("address", "add", f"{DNS}/32", "dev", "lo")
    ip("address", "add", "192.0.2.1/32", "dev", "lo")
    ip("link", "add", "cni0", "type", "bridge")
    ip("address", "add", "10.244.0.1/24", "dev", "cni0")
    if any(pod.get("v6") for pod in pods):
        ip("address", "add", f"{DNS_V6}/128", "dev", "lo", "nodad")
        ip("address", "add", "fd00:244::1/64", "dev", "cni0", "nodad")
    ip("link", "set", "cni0", "up")
    for number, pod in enumerate(pods, start=2):
        name = pod["name"]
        ip("netns", "add", name)
        ip("link", "add", f"veth{number}", "type", "veth",
           "peer", "name", "eth0", "netns", name)  # fmt: skip
        ip("link", "set", f"veth{number}", "master", "cni0", "up")
        ip("-n", name, "link", "set", "lo", "up")
        if pod.get("wired", True):
            ip("-n", name, "address", "add", f"10.244.0.{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "route", "add", "default", "via", "10.244.0.1")
        if pod.get("v6"):
            ip("-n", name, "address", "add", f"fd00:244::{number}/64", "dev", "eth0", "nodad")
            ip("-n", name, "route", "add", "default", "via", "fd00:244::1")


def start_process(pod, cgroup_root):
    """A process in the pod's netns, in its cgroup and, where it has files, in its own root."""
    if not pod.get("process", True):
        return
    if os.fork():
        return
    libc = ctypes.CDLL(None, use_errno=True)
    with Path("/run/netns", pod["name"]).open() as netns:
        if not pod.get("host_network") and libc.setns(netns.fileno(), 0x40000000):
            os._exit(1)
    cgroup = Path(cgroup_root) / "kubepods" / "burstable" / f"pod{pod['uid']}" / ("0" * 64)
    cgroup.mkdir(parents=True, exist_ok=True)
    (cgroup / "cgroup.procs").write_text(str(os.getpid()))
    if pod.get("comm"):
        Path("/proc/self/comm").write_text(pod["comm"])
    kept = [open_socket(*each) for each in pod.get("listen", ())]  # noqa: F841 - stay open
    if pod.get("root"):
        os.chroot(pod["root"])
        os.chdir("/")
    os.write(pod["ready"], b".")
    while True:
        signal.pause()


def open_socket(address, port, v6only=False):
    listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    if ":" in address:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(v6only))
    listener.bind((address, port))
    listener.listen()
    return listener


class Responder:
    """Answers A queries with 10.96.0.1; drops the first few of each client as told."""

    def __init__(self, pods):
        self.to_drop = {
            f"10.244.0.{number}": pod.get("drop", 0) for number, pod in enumerate(pods, start=2)
        }
        self.without_aaaa = {
            f"10.244.0.{number}" for number, pod in enumerate(pods, start=2) if pod.get("no_aaaa")
        }

    def answer(self, wire, client):
        if self.to_drop.get(client, 0) > 0:
            self.to_drop[client] -= 1
            return None
        query = dns.message.from_wire(wire)
        response = dns.message.make_response(query)
        name = query.question[0].name
        if query.question[0].rdtype == dns.rdatatype.AAAA:
            return None if client in self.without_aaaa else response.to_wire()
        response.answer.append(dns.rrset.from_text(name, 30, "IN", "A", "10.96.0.1"))
        return response.to_wire()

    def serve_udp(self, listener):
        while True:
            wire, client = listener.recvfrom(4096)
            reply = self.answer(wire, client[0])
            if reply:
                # A forged answer comes first: its id is another one.
                listener.sendto(bytes([wire[0] ^ 0xFF]) + b"forged", client)
                listener.sendto(reply, client)

    def serve_tcp(self, listener):
        while True:
            connection, client = listener.accept()
            with connection:
                header = connection.recv(2)
                if not header:
                    continue  # Somebody only wanted to know whether anybody listens.
                size = struct.unpack(">H", header)[0]
                reply = self.answer(connection.recv(size), client[0])
                if reply:
                    framed = struct.pack(">H", len(reply)) + reply
                    connection.sendall(framed[:5])  # in two parts, as it may well come
                    connection.sendall(framed[5:])


def start_dns(pods):
    responder = Responder(pods)
    listen(responder, socket.AF_INET, DNS, 53)
    listen(responder, socket.AF_INET, "192.0.2.1", 5353)
    if any(pod.get("v6") for pod in pods):
        listen(responder, socket.AF_INET6, DNS_V6, 53)


def listen(responder, family, address, port):
    udp = socket.socket(family, socket.SOCK_DGRAM)
    udp.bind((address, port))
    tcp = socket.socket(family, socket.SOCK_STREAM)
    tcp.bind((address, port))
    tcp.listen(100)
    threading.Thread(target=responder.serve_udp, args=(udp,), daemon=True).start()
    threading.Thread(target=responder.serve_tcp, args=(tcp,), daemon=True).start()


def main():
    described = json.loads(sys.argv[1])
    pods = described["pods"]
    subprocess.run(["mount", "-t", "tmpfs", "none", "/run"], check=True)
    make_wires(pods)
    reader, writer = os.pipe()
    for pod in pods:
        pod["ready"] = writer
        start_process(pod, described["cgroup"])
    for pod in pods:
        if pod.get("process", True):
            assert os.read(reader, 1)
    start_dns(pods)
    inodes = {pod["name"]: Path("/run/netns", pod["name"]).stat().st_ino for pod in pods}
    print(json.dumps({"inodes": inodes, "host": Path("/proc/1/ns/net").stat().st_ino}), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
