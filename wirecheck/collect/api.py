"""The Kubernetes API: paged, raw lists, projected to the allowed fields while they are decoded.

The `kubernetes` client serves for configuration, authentication and its connection pool
alone: its typed objects cost several times the time and memory.
"""

from __future__ import annotations

import email.utils
import logging
import os
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
import urllib3
from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from msgspec import Struct

from wirecheck import __version__
from wirecheck.collect import kubeconfig as kubeconfigs
from wirecheck.collect.api_errors import (
    ApiError,
    ApiStatusError,
    Server,
    not_understood,
    refused,
    unreachable,
)
from wirecheck.collect.resources import (
    CONFIG_MAPS,
    NODES,
    RESOURCES,
    Object,
    Resource,
    config_map,
    page_decoder,
    rule,
    without_free_text,
)
from wirecheck.snapshot.api_objects import ApiObjects, ConfigMapObject, NodeObject

__all__ = ["Api", "ApiError", "ApiStatusError"]

PAGE = 1000
"""Objects per page: about 7 MB of pods."""
CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 30.0
"""How long the server may stay silent within an answer."""
ANSWER_SECONDS = 120.0
"""How long one answer may take altogether."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each new try after 429 or 5xx, where the server does not say how many."""
LONGEST_PAUSE = 30.0
IDLE_SECONDS = 60.0
"""After so long without a request new connections are made: load balancers drop idle ones
without a word, and the visits between two requests can take minutes."""

LEAVING_TAINTS = frozenset(
    {"ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "karpenter.sh/disruption"}
)
"""Put on a node that is cordoned because it will be deleted."""


class _Version(Struct, frozen=True, rename="camel"):
    git_version: str = ""


class _Identity(Struct, frozen=True):
    uid: str = ""


class _Namespace(Struct, frozen=True):
    metadata: _Identity


@dataclass(slots=True)
class Api:
    """A connection to one cluster's API server; it may be used from several threads."""

    client: ApiClient
    context: str
    server_version: str = ""
    problems: list[str] = field(default_factory=list)
    """What the last `read` could not read, as sentences."""
    page: int = PAGE
    pause: Callable[[float], None] = time.sleep
    last_used: float = field(default_factory=time.monotonic)

    @classmethod
    def connect(
        cls, kubeconfig: str | os.PathLike[str] | None = None, context: str | None = None
    ) -> Api:
        """Read the configuration and ask the server for its version.

        Raises ApiError: no or a broken kubeconfig, unknown context, server not reachable,
        certificate not trusted, credentials refused.
        """
        try:
            source = kubeconfigs.choose(kubeconfig, context)
        except kubeconfigs.KubeconfigError as error:
            raise ApiError(str(error)) from None
        client = ApiClient(_configuration(source))
        client.user_agent = f"wirecheck/{__version__}"
        api = cls(client, source.context)
        try:
            raw = api.get("/version", "the version")
        except ApiStatusError as error:
            # Anonymous users may be kept from it; whatever else is read will tell more.
            if error.status not in {403, 404}:
                raise
        else:
            api.server_version = api.decoded(raw, _Version, "the version").git_version
        return api

    @property
    def server(self) -> Server:
        """What error sentences call the other side."""
        return Server(str(self.client.configuration.host), self.context)

    def read(self) -> ApiObjects:
        """Everything that is read of the API, each list consistent in itself.

        A resource that is not required and could not be read has no entry in
        `resource_versions`, and a sentence in `problems`. Raises ApiError for a required one.
        """
        self.problems = []
        lists: dict[str, Any] = {}
        versions: dict[str, str] = {}
        for resource in RESOURCES:
            try:
                lists[resource.attribute], versions[resource.plural] = self.objects(resource)
            except ApiError as error:
                if resource.required:
                    raise
                self._note(error)
        return ApiObjects(
            **lists,
            config_maps=list(self._config_maps()),
            resource_versions=versions,
            server_version=self.server_version,
            cluster_uid=self._cluster_uid(),
        )

    def still_there(self, names: Collection[str]) -> dict[str, str]:
        """Of the nodes `names`: those that are gone, leaving or not Ready now, with the reason."""
        if not names:
            return {}
        objects, _ = self.objects(NODES)
        nodes = {node.metadata.name: node for node in objects if isinstance(node, NodeObject)}
        reasons = ((name, _absence(nodes.get(name))) for name in sorted(names))
        return {name: reason for name, reason in reasons if reason}

    def objects(self, resource: Resource) -> tuple[list[Object], str]:
        """Every object of the resource, and the version that the list is consistent at.

        A list whose pages expired while it was read (410, after about five minutes) is
        started once more. Raises ApiError.
        """
        try:
            return self._pages(resource)
        except ApiStatusError as error:
            if error.status != 410:
                raise
        try:
            return self._pages(resource)
        except ApiStatusError as error:
            if error.status != 410:
                raise
            raise ApiError(
                f"The list of {resource.plural} expired twice while its pages were read from "
                f"{self.server.host} (410); read it from nearer to the API server."
            ) from None

    def version_now(self, resource: Resource) -> str:
        """The version that the resource is at now."""
        what = f"the list of {resource.plural}"
        raw = self.get(resource.path, what, {"limit": "1"}, resource.rule)
        try:
            return page_decoder(resource).decode(raw).metadata.resource_version
        except msgspec.MsgspecError as error:
            raise not_understood(self.server, what, error) from None

    def get(
        self, path: str, what: str, query: Mapping[str, str] | None = None, rule: str = ""
    ) -> bytes:
        """The body of the answer to one GET, tried again after 429 and 5xx only.

        `what` and the RBAC `rule` that allows it are for the sentence of an ApiError.
        """
        for pause in (*PAUSES, None):
            with self._open(path, what, query or {}, SILENCE_SECONDS) as response:
                deadline = time.monotonic() + ANSWER_SECONDS
                body = b"".join(self._chunks(response, what, deadline))
            if response.status == 200:
                return body
            if pause is None or not (response.status == 429 or response.status >= 500):
                raise refused(self.server, response.status, what, body, rule)
            self.pause(_asked_pause(response.headers.get("Retry-After", ""), pause))
        raise AssertionError("the last try either returns or raises")

    def lines(
        self, path: str, what: str, query: Mapping[str, str], rule: str, seconds: float
    ) -> Iterator[bytes]:
        """The lines of one streamed answer, as they come; ApiError when `seconds` are over."""
        deadline = time.monotonic() + seconds
        with self._open(path, what, query, seconds) as response:
            chunks = self._chunks(response, what, deadline)
            if response.status != 200:
                raise refused(self.server, response.status, what, b"".join(chunks), rule)
            rest = b""
            for chunk in chunks:
                *whole, rest = (rest + chunk).split(b"\n")
                yield from whole
            if rest:
                yield rest

    def decoded(self, raw: bytes, kind: type[Any], what: str) -> Any:
        """`raw` as `kind`; ApiError where it is something else."""
        try:
            return msgspec.json.decode(raw, type=kind)
        except msgspec.MsgspecError as error:
            raise not_understood(self.server, what, error) from None

    def _pages(self, resource: Resource) -> tuple[list[Object], str]:
        # Without a resourceVersion the list is the current one. With 0 it would be any
        # cached one, and would come as one giant page, whatever the limit.
        what = f"the list of {resource.plural}"
        decoder = page_decoder(resource)
        objects: list[Object] = []
        query = {"limit": str(self.page)}
        while True:
            raw = self.get(resource.path, what, query, resource.rule)
            try:
                page = decoder.decode(raw)
            except msgspec.MsgspecError as error:
                raise not_understood(self.server, what, error) from None
            for item in page.items or ():
                without_free_text(item.metadata)
                objects.append(item)
            if not page.metadata.next:
                return objects, page.metadata.resource_version
            query["continue"] = page.metadata.next

    def _config_maps(self) -> Iterator[ConfigMapObject]:
        for name in CONFIG_MAPS:
            what = f"ConfigMap kube-system/{name}"
            path = f"/api/v1/namespaces/kube-system/configmaps/{name}"
            try:
                raw = self.get(path, what, rule=rule("", "configmaps", name))
                yield config_map(name, raw)
            except ApiError as error:
                if not (isinstance(error, ApiStatusError) and error.status == 404):
                    self._note(error)
            except msgspec.MsgspecError as error:
                self._note(not_understood(self.server, what, error))

    def _cluster_uid(self) -> str:
        what = "namespace kube-system"
        allowed = rule("", "namespaces", "kube-system")
        try:
            raw = self.get("/api/v1/namespaces/kube-system", what, rule=allowed)
            return str(self.decoded(raw, _Namespace, what).metadata.uid)
        except ApiError as error:
            self._note(error)
            return ""

    def _note(self, error: ApiError) -> None:
        if str(error) not in self.problems:
            self.problems.append(str(error))

    @contextmanager
    def _open(
        self, path: str, what: str, query: Mapping[str, str], silence: float
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        _, url, headers, *_ = self.client.param_serialize(
            "GET",
            path,
            query_params=list(query.items()),
            header_params={"Accept": "application/json", "Accept-Encoding": "gzip"},
            auth_settings=["BearerToken"],
        )
        pool = self.client.rest_client.pool_manager
        if time.monotonic() - self.last_used > IDLE_SECONDS:
            pool.clear()
        self.last_used = time.monotonic()
        try:
            response = pool.request(
                "GET",
                url,
                headers=headers,
                timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=silence),
                preload_content=False,
                retries=False,
            )
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise unreachable(self.server, what, error) from None
        try:
            yield response
        finally:
            # An answer read to its end has given the connection back to the pool already.
            response.close()

    def _chunks(
        self, response: urllib3.BaseHTTPResponse, what: str, deadline: float
    ) -> Iterator[bytes]:
        """What comes, when it comes: `read` and `stream` would wait for a buffer to fill."""
        try:
            while chunk := response.read1(1 << 20):
                yield chunk
                if time.monotonic() > deadline:
                    raise TimeoutError("it was still sending")
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise unreachable(self.server, what, error) from None


def _configuration(source: kubeconfigs.Source) -> Configuration:
    configuration = Configuration()
    where = source.files or "the pod's service account"
    with _overheard() as said:
        try:
            if source.files:
                load: Any = config.load_kube_config
                load(source.files, source.context, configuration, persist_config=False)
            else:
                load = config.load_incluster_config
                load(configuration)
        except Exception as error:
            # The client raises whatever its parsing runs into. Its words are kept back,
            # because they can quote a user's entry, but for the names of missing files.
            words = str(error) if isinstance(error, OSError) else type(error).__name__
            if str(error).startswith("File does not exist"):
                words = str(error)
            raise ApiError(
                f"Context {source.context} of {where} cannot be used: {words}; "
                f"try `kubectl --context {source.context} version`."
            ) from None
    plugin = [line for line in said if line.startswith("exec:")]
    if plugin:
        raise ApiError(
            f"The credential plugin of context {source.context} failed: {plugin[0][:300]}."
        )
    return configuration


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What is logged meanwhile: the client logs a plugin's failure and then goes on without."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield said
    finally:
        root.removeHandler(handler)


def _asked_pause(retry_after: str, default: float) -> float:
    """Seconds to wait: what Retry-After says (seconds or a date), within bounds."""
    try:
        asked = float(retry_after)
    except ValueError:
        date = email.utils.parsedate_to_datetime(retry_after) if "," in retry_after else None
        asked = date.timestamp() - time.time() if date else default
    return min(max(asked, 0.0), LONGEST_PAUSE)


def _absence(node: NodeObject | None) -> str:
    if node is None:
        return "The node was deleted meanwhile."
    if node.metadata.deletion_timestamp:
        return "The node is being deleted."
    leaving = [taint.key for taint in node.spec.taints if taint.key in LEAVING_TAINTS]
    if leaving:
        return f"The node is cordoned to be deleted (taint {leaving[0]})."
    ready = next((c for c in node.status.conditions if c.type == "Ready"), None)
    if ready is None:
        return "The node is not Ready: it never reported a status."
    if ready.status != "True":
        return f"The node is not Ready (reason {ready.reason}, since {ready.last_transition_time})."
    return ""
