"""kube-proxy's own HTTP endpoints, on the node's loopback."""

import http.client
import json
from typing import Any, Dict, Tuple

ENDPOINTS: Dict[str, Tuple[int, str]] = {
    "healthz": (10256, "/healthz"),
    "livez": (10256, "/livez"),
    "proxyMode": (10249, "/proxyMode"),
    "configz": (10249, "/configz"),
    "metrics": (10249, "/metrics"),
}
SECONDS = 3.0
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
        answer = dict(hung[port]) if port in hung else _ask(port, path)
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


def _ask(port: int, path: str) -> Dict[str, Any]:
    answer: Dict[str, Any] = {"error": "refused"}
    for address in ("127.0.0.1", "::1"):
        connection = http.client.HTTPConnection(address, port, timeout=SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            body = response.read(MOST_BYTES).decode("utf-8", "replace")
            return {"status": response.status, "body": body}
        except ConnectionRefusedError:
            continue
        except (OSError, http.client.HTTPException) as error:
            if address == "127.0.0.1":
                return {"error": str(error) or type(error).__name__}
        finally:
            connection.close()
    return answer


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
    except (ValueError, KeyError, TypeError, AttributeError):
        return ""
    return json.dumps({"kubeproxy.config.k8s.io": kept}, sort_keys=True)
