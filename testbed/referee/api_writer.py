"""Creating, replacing and deleting objects of the referee's API, one request each."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from testbed.commands import TestbedError

Object = dict[str, Any]

NAMESPACE = "random"
_MOST_IDLE = 20.0
_GROUPS = {
    "Service": "/api/v1/namespaces/{}/services",
    "EndpointSlice": "/apis/discovery.k8s.io/v1/namespaces/{}/endpointslices",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Pod": "/api/v1/namespaces/{}/pods",
    "Node": "/api/v1/nodes",
    "Namespace": "/api/v1/namespaces",
}


class ApiWriter:
    """One connection to the API server, kept open."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        cluster = config["clusters"][0]["cluster"]
        authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
        context = ssl.create_default_context(cadata=authority)
        host = urlsplit(cluster["server"]).netloc
        self._connection = http.client.HTTPSConnection(host, timeout=60, context=context)
        self._token = config["users"][0]["user"]["token"]
        self._versions: dict[tuple[str, str, str], str] = {}
        self._used = time.monotonic()

    def create(self, wanted: Object) -> None:
        """Create an object with its status."""
        self._stored(self._ask("POST", _group(wanted), wanted))
        self._put_status(wanted)

    def replace(self, wanted: Object) -> None:
        """Make an object that exists what is wanted."""
        self._stored(self._ask("PUT", _path(wanted), self._as_seen(wanted)))
        self._put_status(wanted)

    def delete(self, wanted: Object) -> None:
        """Delete an object; one that is gone already is no fault."""
        # No kubelet ends the pods of these nodes.
        self._ask("DELETE", f"{_path(wanted)}?gracePeriodSeconds=0", None, tolerated=(404,))
        self._versions.pop(_key(wanted), None)

    def delete_all(self) -> None:
        """Empty the namespace of random objects, and forget the nodes."""
        for kind in ("EndpointSlice", "Service", "Node"):
            for item in self._ask("GET", _GROUPS[kind].format(NAMESPACE), None)["items"]:
                self.delete({**item, "kind": kind})

    def _put_status(self, wanted: Object) -> None:
        if "status" in wanted:
            path = f"{_path(wanted)}/status"
            self._stored(self._ask("PUT", path, self._as_seen(wanted)))

    def _as_seen(self, wanted: Object) -> Object:
        """With the version that the API asks for, to tell that nobody else wrote meanwhile."""
        version = self._versions[_key(wanted)]
        return {**wanted, "metadata": {**wanted["metadata"], "resourceVersion": version}}

    def _stored(self, answer: Object) -> None:
        self._versions[_key(answer)] = answer["metadata"]["resourceVersion"]

    def _ask(
        self, method: str, path: str, body: Object | None, tolerated: tuple[int, ...] = ()
    ) -> Any:
        headers: Mapping[str, str] = {
            "Authorization": f"Bearer {self._token}",
            "Content-Type": "application/json",
        }
        data = None if body is None else json.dumps(body)
        if time.monotonic() - self._used > _MOST_IDLE:
            # The server closes it after a while; what is sent then is lost.
            self._connection.close()
        self._used = time.monotonic()
        try:
            self._connection.request(method, path, data, headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except OSError as error:
            self._connection.close()
            raise TestbedError(f"the referee's API server does not answer: {error}") from error
        if answer.status >= 300 and answer.status not in tolerated:
            said = json.loads(text).get("message", "")[:600]
            raise TestbedError(f"{method} {path}: {answer.status} {said}: {data}")
        return json.loads(text)


def _group(wanted: Object) -> str:
    return _GROUPS[wanted["kind"]].format(wanted["metadata"].get("namespace", ""))


def _path(wanted: Object) -> str:
    return f"{_group(wanted)}/{wanted['metadata']['name']}"


def _key(wanted: Object) -> tuple[str, str, str]:
    metadata = wanted["metadata"]
    return wanted["kind"], metadata.get("namespace", ""), metadata["name"]
