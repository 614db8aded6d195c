"""Lists a cluster's objects, in a process of its own: seconds, seconds of CPU, peak memory.

`python -m benchmarks.listing KUBECONFIG wirecheck` reads as `wirecheck run` does;
`python -m benchmarks.listing KUBECONFIG typed` with the typed lists of the `kubernetes` client.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

PAGE = 1000


def main(kubeconfig: str, how: str) -> None:
    """Print what it cost as JSON."""
    began, cpu = time.perf_counter(), time.process_time()
    counts = {"wirecheck": as_wirecheck, "typed": as_typed}[how](kubeconfig)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak, "counts": counts}))


def as_wirecheck(kubeconfig: str) -> list[int]:
    """Read and project everything that is read of the API."""
    # Each side imports only its own: what a side imports is part of its memory.
    from wirecheck.collect.api.client import Api  # noqa: PLC0415

    api = Api.connect(kubeconfig).read()
    return [len(each) for each in (api.nodes, api.pods, api.services, api.endpoint_slices)]


def as_typed(kubeconfig: str) -> list[int]:
    """The same four lists as the client's objects."""
    from kubernetes import client, config  # noqa: PLC0415

    config.load_kube_config(kubeconfig)
    core, discovery = client.CoreV1Api(), client.DiscoveryV1Api()
    lists = [
        core.list_node,
        core.list_pod_for_all_namespaces,
        core.list_service_for_all_namespaces,
        discovery.list_endpoint_slice_for_all_namespaces,
    ]
    kept = [_pages(client, each) for each in lists]
    return list(map(len, kept))


def _pages(client: Any, ask: Callable[..., Any]) -> list[Any]:
    """All objects, in pages: one list of 30,000 pods would take even more memory."""
    found: list[Any] = []
    token = None
    while True:
        try:
            page = ask(limit=PAGE, _continue=token)
        except client.ApiException as error:
            if error.status != 410:
                raise
            # Building objects took longer than the five minutes that a list is kept.
            token = json.loads(error.body)["metadata"]["continue"]
            continue
        found += page.items
        token = page.metadata._continue
        if not token:
            return found


if __name__ == "__main__":
    main(*sys.argv[1:])
