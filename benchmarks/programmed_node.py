"""A node's netns with rules that a real kube-proxy wrote: serves it objects, then reads it.

Runs by itself with nothing but Python's own library, as root in a netns and a pid namespace
that are new (`unshare`), so that nothing of it outlives it. Reads its task from standard
input and prints what the node program prints.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

METRICS = "http://127.0.0.1:10249/metrics"


def main() -> None:
    """Program, wait, look."""
    task = json.load(sys.stdin)
    with tempfile.TemporaryDirectory() as folder:
        make_node(task["addresses"])
        server = serve(task["objects"])
        log = Path(folder) / "log"
        with log.open("w") as output:
            command = kube_proxy(task, Path(folder), server.server_address[1])
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            began = time.monotonic()
            wait(process, log, task["limit"])
            print("programmed after %.1f s" % (time.monotonic() - began), file=sys.stderr)
            subprocess.run(["sh", "-c", task["look"]], check=True)
        finally:
            process.kill()
            process.wait()
            server.shutdown()


def make_node(addresses: list[str]) -> None:
    """Give this netns the node's addresses."""
    commands = ["link set lo up", "link add node0 type veth peer name far0", "link set node0 up"]
    for command in commands + [f"addr add {each} dev node0" for each in addresses]:
        subprocess.run(["ip", *command.split()], check=True)


def serve(objects: dict[str, list[Any]]) -> ThreadingHTTPServer:
    """A Kubernetes API with fixed objects, by resource; kube-proxy only lists and watches."""
    bodies = {name: as_list(name, items) for name, items in objects.items()}
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            parts = url.path.strip("/").split("/")
            if "watch=" in url.query:
                self.watch("sendInitialEvents" in url.query)
            elif parts[-1] in bodies:
                self.answer(200, bodies[parts[-1]])
            elif parts[-2] == "nodes":
                node = {"apiVersion": "v1", "kind": "Node", **objects["nodes"][0]}
                self.answer(200, json.dumps(node).encode())
            else:
                self.answer(404, refusal(404, "NotFound"))

        def do_POST(self) -> None:
            self.answer(201, self.rfile.read(int(self.headers.get("Content-Length") or 0)))

        do_PATCH = do_POST  # noqa: N815 - the handler's name for it

        def watch(self, is_list: bool) -> None:
            if is_list:
                self.answer(422, refusal(422, "Invalid"))
                return
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.flush()
            stopped.wait()

        def answer(self, code: int, body: bytes) -> None:
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def as_list(name: str, items: list[Any]) -> bytes:
    """The answer to a request for all objects of a resource."""
    kinds = {
        "nodes": ("v1", "NodeList"),
        "services": ("v1", "ServiceList"),
        "endpointslices": ("discovery.k8s.io/v1", "EndpointSliceList"),
        "servicecidrs": ("networking.k8s.io/v1", "ServiceCIDRList"),
    }
    version, kind = kinds[name]
    meta = {"resourceVersion": "1"}
    listed = {"apiVersion": version, "kind": kind, "metadata": meta, "items": items}
    return json.dumps(listed).encode()


def refusal(code: int, reason: str) -> bytes:
    """What the API says where it does not do what was asked."""
    status = {"status": "Failure", "reason": reason, "message": reason, "code": code}
    return json.dumps({"apiVersion": "v1", "kind": "Status", **status}).encode()


def kube_proxy(task: dict[str, Any], folder: Path, port: int) -> list[str]:
    """The command that starts it, with its files in `folder`."""
    access = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fixed", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "fixed", "context": {"cluster": "fixed", "user": "nobody"}}],
        "current-context": "fixed",
    }
    kubeconfig = folder / "kubeconfig"
    kubeconfig.write_text(json.dumps(access))
    types = {"contentType": "application/json", "acceptContentTypes": "application/json"}
    config = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        # The size of the connection table is the whole machine's.
        "conntrack": {"maxPerCore": 0},
        "clientConnection": {"kubeconfig": str(kubeconfig), **types},
        **task["config"],
    }
    (folder / "config").write_text(json.dumps(config))
    return [task["kube_proxy"], "--config=%s" % (folder / "config")]


def wait(process: "subprocess.Popen[bytes]", log: Path, limit: float) -> None:
    """Until kube-proxy has written all that it was asked for, and asks for nothing more."""
    end = time.monotonic() + limit
    synced: float | None = None
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit("kube-proxy ended: " + log.read_text()[-3000:])
        last = last_sync()
        # Twice the same: the first sync may be one of half the objects.
        if last is not None and last == synced:
            return
        synced = last
        time.sleep(5)
    raise SystemExit("kube-proxy does not settle: " + log.read_text()[-3000:])


def last_sync() -> float | None:
    """When all changes were written last; None before, or while some wait."""
    try:
        with urllib.request.urlopen(METRICS, timeout=30) as answer:
            lines = answer.read().decode().splitlines()
    except (OSError, urllib.error.URLError):
        return None
    values = dict(line.rsplit(" ", 1) for line in lines if line.startswith("kubeproxy_sync_"))
    stamps = [float(v) for k, v in values.items() if "rules_last_timestamp_seconds" in k]
    queued = [float(v) for k, v in values.items() if "last_queued_timestamp_seconds" in k]
    pending = [float(v) for k, v in values.items() if "changes_pending" in k]
    is_current = min(stamps, default=0.0) > max(queued, default=0.0) and not any(pending)
    return min(stamps) if stamps and is_current else None


if __name__ == "__main__":
    main()
