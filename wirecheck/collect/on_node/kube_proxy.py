"""kube-proxy's own HTTP endpoints, on the node's loopback."""

import json
import socket
import time
from typing import Any, Dict, Tuple

ENDPOINTS: Dict[str, Tuple[int, str]] = {
    "healthz": (10256, "/healthz"),
    "livez": (10256, "/livez"),
    "proxyMode": (10249, "/proxyMode"),
    "configz": (10249, "/configz"),
    "metrics": (10249, "/metrics"),
}
SECONDS = 3.0
"""For one endpoint as a whole: whatever listens there may send a byte a second."""
MOST_BYTES = 8 << 20
METRICS = (
    "kubeproxy_sync_",
    "kubeproxy_network_programming_",
    "kubeproxy_iptables_localhost_nodeports_",
    "kubernetes_build_info",
)
CONFIGURATION = frozenset(
    {
        "bindaddress",
        "clustercidr",
        "configsyncperiod",
        "conntrack",
        "detectlocal",
        "detectlocalmode",
        "featuregates",
        "healthzbindaddress",
        "hostnameoverride",
        "iptables",
        "ipvs",
        "linux",
        "metricsbindaddress",
        "mode",
        "nftables",
        "nodeportaddresses",
    }
)
"""In lower case: /configz shows kube-proxy's internal form, whose names are capitalised
(`DetectLocalMode`). ClientConnection is left out, because it has the path of credentials."""


def ask_all() -> Dict[str, Dict[str, Any]]:
    """The response of each endpoint, reduced to what is allowed to leave the node."""
    answers = {}
    hung = {}  # type: Dict[int, Dict[str, Any]]
    for name, (port, path) in ENDPOINTS.items():
        # If kube-proxy hangs, the time limit passes only once per port.
        answer = dict(hung[port]) if port in hung else ask(port, path)
        if answer.get("error") == "timed out":
            hung[port] = dict(answer)
        if name == "metrics":
            answer["body"] = sync_metrics(answer.get("body", ""))
        elif name == "configz":
            answer["body"] = allowed_configuration(answer.get("body", ""))
        else:
            answer["body"] = answer.get("body", "")[:2000]
        answers[name] = answer
    return answers


def ask(port: int, path: str, header: str = "") -> Dict[str, Any]:
    """The response of an endpoint on the loopback, within SECONDS; `refused` if there is none."""
    answer: Dict[str, Any] = {"error": "refused"}
    for address in ("127.0.0.1", "::1"):
        try:
            request = "GET %s HTTP/1.0\r\nHost: localhost\r\n" % path
            request += header and header + "\r\n"
            return _answer(_response(address, port, request, time.monotonic() + SECONDS))
        except ConnectionRefusedError:
            continue
        except (OSError, ValueError) as error:
            if address == "127.0.0.1":
                return {"error": str(error) or type(error).__name__}
    return answer


def _response(address: str, port: int, request: str, end: float) -> bytes:
    """What the server sends until it closes the connection. Raises OSError at the time `end`.

    With HTTP 1.0 it closes it, sends no interim responses, and does not divide the body.
    """
    received = bytearray()
    with socket.create_connection((address, port), SECONDS) as connection:
        connection.sendall((request + "\r\n").encode())
        while len(received) < MOST_BYTES:
            left = end - time.monotonic()
            if left <= 0:
                raise socket.timeout("timed out")
            connection.settimeout(left)
            part = connection.recv(1 << 16)
            if not part:
                break
            received += part
    return bytes(received)


def _answer(response: bytes) -> Dict[str, Any]:
    """Its status and body. Raises ValueError if it is not HTTP."""
    head, _, body = response.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or len(words[1]) != 3:
        raise ValueError("no HTTP answer")
    return {"status": int(words[1]), "body": body.decode("utf-8", "replace")}


def sync_metrics(text: str) -> str:
    """The metrics of rule synchronisation, without the buckets of histograms."""
    return "".join(
        line + "\n"
        for line in text.splitlines()
        if line.startswith(METRICS) and "_bucket{" not in line
    )


def allowed_configuration(text: str) -> str:
    """The allowed keys of a kube-proxy configuration; empty if it is not one."""
    try:
        whole = json.loads(text)["kubeproxy.config.k8s.io"]
        kept = {key: value for key, value in whole.items() if key.lower() in CONFIGURATION}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    return json.dumps({"kubeproxy.config.k8s.io": kept}, sort_keys=True)
