"""The health endpoints of CNI plugins' agents, on the node's loopback."""

from typing import Any, Container, Dict, Optional, Tuple

from wirecheck.collect.on_node.kube_proxy import ask

ENDPOINTS: Dict[str, Tuple[int, str, str]] = {
    # With this header it answers as to the kubelet's probes.
    "9879/healthz": (9879, "/healthz", "brief: true"),  # Cilium
    "9099/readiness": (9099, "/readiness", ""),  # felix
    "20244/healthz": (20244, "/healthz", ""),  # kube-router
}
"""By name: the default port, the path and a header."""
MOST_CHARACTERS = 1000


def ask_all(listening: Optional[Container[int]] = None) -> Dict[str, Dict[str, Any]]:
    """The response of each endpoint; ports at which nothing listens are left out.

    `listening` are the ports at which something does; None if that is not known.
    """
    answers = {}
    for name, (port, path, header) in ENDPOINTS.items():
        if listening is not None and port not in listening:
            continue
        answer = ask(port, path, header)
        if answer.get("error") != "refused":
            if "body" in answer:
                answer["body"] = answer["body"][:MOST_CHARACTERS]
            answers[name] = answer
    return answers
