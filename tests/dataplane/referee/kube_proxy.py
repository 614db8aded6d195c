"""Runs a real kube-proxy in a network namespace of its own and shows what it programmed."""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.dataplane.referee.fake_api import FakeApi

NETNS = f"referee-{os.getpid()}"
HERE, THERE = "169.254.77.1", "169.254.77.2"
KUBE_PROXY_PORT = 10256


def run(*argv: str, inside: bool = True) -> str:
    words = ["ip", "netns", "exec", NETNS, *argv] if inside else list(argv)
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr}")
    return done.stdout


@contextmanager
def node_netns(addresses: list[str]) -> Iterator[None]:
    """A netns with the node's addresses and a link to the API on this side."""
    run("ip", "netns", "add", NETNS, inside=False)
    try:
        run(
            "ip", "link", "add", "rf0", "type", "veth", "peer", "eth0", "netns", NETNS, inside=False
        )
        run("ip", "addr", "add", f"{HERE}/30", "dev", "rf0", inside=False)
        run("ip", "link", "set", "rf0", "up", inside=False)
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "set", "eth0", "up")
        run("ip", "addr", "add", f"{THERE}/30", "dev", "eth0")
        for each in addresses:
            prefix = "128" if ":" in each else "32"
            run("ip", "addr", "add", f"{each}/{prefix}", "dev", "eth0")
        yield
    finally:
        # The link first: with its netns it would go away only after a while.
        run("ip", "link", "del", "rf0", inside=False)
        run("ip", "netns", "del", NETNS, inside=False)


class KubeProxy:
    """One run: `programmed` waits until everything is programmed, then reads it."""

    def __init__(self, binary: str, objects: dict[str, list[dict]], config: dict) -> None:
        self.binary = binary
        self.objects = objects
        self.config = config

    def programmed(self) -> dict[str, str]:
        """The dumps by name: iptables, ip6tables, nft, nft6."""
        node = self.objects["nodes"][0]
        addresses = [each["address"] for each in node["status"]["addresses"]]
        with node_netns(addresses), tempfile.TemporaryDirectory() as folder:
            api = FakeApi(self.objects, HERE)
            log = Path(folder) / "log"
            with log.open("w") as output:
                process = subprocess.Popen(
                    self._command(Path(folder), api), stdout=output, stderr=output
                )
                try:
                    return self._wait(process, log)
                finally:
                    process.kill()
                    process.wait()
                    api.close()

    def _command(self, folder: Path, api: FakeApi) -> list[str]:
        config = {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "hostnameOverride": self.objects["nodes"][0]["metadata"]["name"],
            "conntrack": {"maxPerCore": 0},
            "clientConnection": {
                "kubeconfig": str(folder / "kubeconfig"),
                "contentType": "application/json",
                "acceptContentTypes": "application/json",
            },
            **self.config,
        }
        (folder / "config").write_text(json.dumps(config))
        (folder / "kubeconfig").write_text(json.dumps(kubeconfig(api.url)))
        return ["ip", "netns", "exec", NETNS, self.binary, f"--config={folder / 'config'}"]

    def _wait(self, process: subprocess.Popen, log: Path) -> dict[str, str]:
        deadline = time.monotonic() + 60
        before: dict[str, str] = {}
        same = 0
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise RuntimeError(f"kube-proxy ended: {log.read_text()[-3000:]}")
            time.sleep(0.5)
            dumps = self.dumps()
            is_same = self._is_synced() and _rules(dumps) == _rules(before)
            same = same + 1 if is_same else 0
            if same >= 3:
                return dumps
            before = dumps
        raise RuntimeError(f"kube-proxy does not settle: {log.read_text()[-3000:]}")

    def _is_synced(self) -> bool:
        try:
            metrics = run("python3", "-c", READ_METRICS)
        except RuntimeError:
            return False
        values = dict(
            line.rsplit(" ", 1)
            for line in metrics.splitlines()
            if line.startswith("kubeproxy_sync_proxy")
        )
        stamps = [float(v) for k, v in values.items() if "rules_last_timestamp_seconds" in k]
        queued = [float(v) for k, v in values.items() if "last_queued_timestamp_seconds" in k]
        changes = float(values.get("kubeproxy_sync_proxy_rules_service_changes_total", 0))
        pending = [float(v) for k, v in values.items() if "changes_pending" in k]
        is_current = all(stamps) and min(stamps, default=0) > max(queued, default=0)
        return is_current and changes > 0 and not any(pending)

    def dumps(self) -> dict[str, str]:
        if self.config["mode"] == "nftables":
            names = {"nft": "ip", "nft6": "ip6"}
            return {name: _table(family) for name, family in names.items()}
        return {"iptables": run("iptables-save"), "ip6tables": run("ip6tables-save")}


READ_METRICS = (
    "import urllib.request as r;"
    "print(r.urlopen('http://127.0.0.1:10249/metrics', timeout=5).read().decode())"
)


def _table(family: str) -> str:
    try:
        return run("nft", "-j", "list", "table", family, "kube-proxy")
    except RuntimeError:
        return ""


def _rules(dumps: dict[str, str]) -> dict[str, list[str]]:
    return {
        name: [line for line in dump.splitlines() if not line.startswith("#")]
        for name, dump in dumps.items()
    }


def kubeconfig(url: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "fake", "cluster": {"server": url}}],
        "users": [{"name": "nobody", "user": {}}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "nobody"}}],
        "current-context": "fake",
    }
