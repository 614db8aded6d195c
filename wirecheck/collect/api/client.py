"""Reads the Kubernetes API: paged lists, projected to the allowed fields during decoding.

The `kubernetes` client is used only for configuration, authentication and its connection pool:
its typed objects take several times the time and memory.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from kubernetes import config
from kubernetes.client import ApiClient, Configuration
from msgspec import Struct

from wirecheck import __version__
from wirecheck.collect.api import kubeconfig as kubeconfigs
from wirecheck.collect.api.config_maps import read_config_maps
from wirecheck.collect.api.connection import Connection, without_nulls
from wirecheck.collect.api.credential_plugins import limit_plugins
from wirecheck.collect.api.errors import (
    ApiError,
    ApiStatusError,
    ConfigurationError,
    Server,
    UnrecognisedError,
)
from wirecheck.collect.api.lenient import decoded_items
from wirecheck.collect.api.policies import has_calico, has_cilium, read_policies
from wirecheck.collect.api.resources import (
    CALICO_RESOURCES,
    CILIUM_ENDPOINTS,
    DAEMON_SETS,
    DNS_ROLE,
    NAMESPACES,
    NODES,
    RESOURCES,
    ROLES,
    RUNTIME_CLASSES,
    Object,
    Page,
    Resource,
    rule,
    without_free_text,
    without_other_mounts,
)
from wirecheck.snapshot.api_objects import ApiObjects, OddField
from wirecheck.snapshot.objects.cluster_role import ClusterRoleBindingObject, ClusterRoleObject
from wirecheck.snapshot.objects.node import NodeObject

__all__ = ["Api", "ApiError", "ApiStatusError", "ConfigurationError"]

PAGE = 1000
"""Objects per page: about 7 MB of pods."""
LIST_SECONDS = 600.0
"""How long all pages of one list may take."""
READ_SECONDS = 900.0
"""How long everything that one round reads may take."""
LARGEST_LIST = 2 << 30
"""Bytes of one list: several times 150,000 pods."""
MOST_PAGES = 10_000
LEAVING_TAINTS = frozenset(
    {"ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "karpenter.sh/disruption"}
)
"""Taints of a node that is cordoned because it will be deleted."""


class _Version(Struct, frozen=True, rename="camel"):
    git_version: str = ""


class _Identity(Struct, frozen=True):
    uid: str = ""


class _Namespace(Struct, frozen=True):
    metadata: _Identity


@dataclass(slots=True)
class Api:
    """A connection to one cluster's API server; it may be used from several threads."""

    connection: Connection
    context: str
    kubeconfig: str = ""
    """The kubeconfig files, as in $KUBECONFIG; empty within a pod."""
    server_version: str = ""
    problems: list[str] = field(default_factory=list)
    """What the last `read` could not read, as sentences."""
    page: int = PAGE
    options: str = ""
    """The command-line options that name the cluster, for commands that a user copies."""
    _until: float = math.inf
    """On the monotonic clock: when `read` has to be finished."""
    _odd: list[OddField] = field(default_factory=list)
    """What the last `read` could not decode."""

    @property
    def clean(self) -> str:
        """The command that removes what runs left behind in this cluster."""
        return f"wirecheck clean {self.options}".rstrip()

    @property
    def server_time(self) -> float:
        """When the last `read` began, by the server's clock; 0 if it did not show its time."""
        return self.connection.server_time

    @classmethod
    def connect(
        cls,
        kubeconfig: str | os.PathLike[str] | None = None,
        context: str | None = None,
        options: str = "",
    ) -> Api:
        """Read the configuration and ask the server for its version.

        Raises ConfigurationError if the kubeconfig is missing or invalid or the context is
        unknown, and ApiError if the server is unreachable, or the certificate or the credentials
        are rejected.
        """
        try:
            source = kubeconfigs.choose(kubeconfig, context)
        except kubeconfigs.KubeconfigError as error:
            raise ConfigurationError(str(error)) from None
        named = os.fspath(kubeconfig) if kubeconfig else ""
        client = ApiClient(_configuration(source, named))
        client.user_agent = f"wirecheck/{__version__}"
        server = Server(str(client.configuration.host), source.context, named)
        api = cls(Connection(client, server), source.context, source.files, options=options)
        try:
            raw = api.connection.get("/version", "the version")
        except ApiStatusError as error:
            # It may be forbidden for anonymous users; the lists report real problems.
            if error.status not in {403, 404}:
                raise
        else:
            version = api.connection.decoded(raw, _Version, "the version")
            api.server_version = version.git_version
        return api

    def read(self) -> ApiObjects:
        """Everything that is read from the API; each list is consistent in itself.

        An optional resource that could not be read has no entry in `resource_versions`, and a
        sentence in `problems`. Raises ApiError if a required one could not be read.
        """
        self.problems = []
        self.connection.server_time = 0.0
        self._odd = []
        self._until = time.monotonic() + READ_SECONDS
        try:
            return self._read()
        finally:
            self._until = math.inf

    def _read(self) -> ApiObjects:
        lists: dict[str, Any] = {}
        versions: dict[str, str] = {}
        for resource in RESOURCES:
            try:
                lists[resource.attribute], versions[resource.plural] = self.objects(resource)
            except ApiError as error:
                if resource.required:
                    raise
                self._note(error)
        config_maps = read_config_maps(ApiObjects(**lists), self._named)
        for pod in lists["pods"]:
            without_other_mounts(pod)
        policies = read_policies(self.connection, self.objects, self._note)
        return ApiObjects(
            **lists,
            **self._roles_of_dns(),
            **policies,
            **(self._of_calico() if has_calico(policies) else {}),
            cilium_endpoints=self._if_it_exists(CILIUM_ENDPOINTS) if has_cilium(policies) else [],
            daemon_sets=self._if_it_exists(DAEMON_SETS),
            runtime_classes=self._if_it_exists(RUNTIME_CLASSES),
            namespaces=self._if_it_exists(NAMESPACES),
            config_maps=config_maps,
            mounts_read=True,
            policy_rules_read=True,
            resource_versions=versions,
            server_version=self.server_version,
            cluster_uid=self._cluster_uid(),
            undecodable=self._odd,
        )

    def still_there(self, names: Collection[str]) -> dict[str, str]:
        """The nodes of `names` that are deleted, terminating or NotReady now, with the reason."""
        if not names:
            return {}
        objects, _ = self.objects(NODES)
        nodes = {node.metadata.name: node for node in objects if isinstance(node, NodeObject)}
        reasons = ((name, _absence(nodes.get(name))) for name in sorted(names))
        return {name: reason for name, reason in reasons if reason}

    def objects(self, resource: Resource) -> tuple[list[Object], str]:
        """Every object of the resource, and the version that the list is consistent at.

        A list whose pages expired while it was read (410, after about five minutes) is
        restarted once. Raises ApiError.
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
                f"{self.connection.server.host} (410); run wirecheck closer to the API server."
            ) from None

    def version_now(self, resource: Resource) -> str:
        """The current version of the resource."""
        what = f"the list of {resource.plural}"
        raw = self.connection.get(resource.path, what, {"limit": "1"}, resource.rule)
        page = self.connection.decoded(raw, resource.page_type, what)
        return str(page.metadata.resource_version)

    def _pages(self, resource: Resource) -> tuple[list[Object], str]:
        # Without a resourceVersion the API server returns the current list. With 0 it returns
        # any cached list, in one giant page whatever the limit.
        what = f"the list of {resource.plural}"
        objects: list[Object] = []
        query = {"limit": str(self.page)}
        until = min(self._until, time.monotonic() + LIST_SECONDS)
        size, tokens = 0, {""}
        while True:
            raw = self.connection.get(resource.path, what, query, resource.rule, until)
            page = self._page(raw, resource, what)
            for item in page.items or ():
                without_free_text(item.metadata)
                objects.append(item)
            size, token = size + len(raw), page.metadata.next
            if not token:
                return objects, page.metadata.resource_version
            if token in tokens or len(tokens) > MOST_PAGES or size > LARGEST_LIST:
                raise self._endless(what, len(tokens), len(objects))
            tokens.add(token)
            query["continue"] = token

    def _page(self, raw: bytes, resource: Resource, what: str) -> Page[Any]:
        """One page. Objects that cannot be decoded lose the fields that are the reason."""
        try:
            page: Page[Any] = self.connection.decoded(raw, resource.page_type, what)
            return page
        except UnrecognisedError:
            found: Page[Any] = self.connection.decoded(raw, Page[Any], what)
        items = [without_nulls(each) for each in found.items or ()]
        read = list(decoded_items(items, resource.type, resource.kind, self._odd))
        if items and not read:
            raise UnrecognisedError(
                f"The response of {self.connection.server.host} for {what} has no object with a "
                "name; is this the URL of a Kubernetes API server?"
            )
        return Page(found.metadata, read)

    def _endless(self, what: str, pages: int, number: int) -> ApiError:
        server = self.connection.server
        return ApiError(
            f"The API server {server.host} of context {server.context} does not end {what}: it "
            f"sent {number:,} objects in {pages:,} pages, and repeats a page or exceeds "
            f"{LARGEST_LIST >> 30} GiB. Check what is between it and this machine; {server.hint}"
        )

    def _if_it_exists(self, resource: Resource) -> list[Any]:
        """The objects of an optional resource; none, with a note, if they could not be read."""
        try:
            return list(self.objects(resource)[0])
        except ApiError as error:
            if not (isinstance(error, ApiStatusError) and error.status == 404):
                self._note(error)
            return []

    def _of_calico(self) -> dict[str, Any]:
        """The objects of Calico that show who has which addresses; one note if any is missing."""
        found: dict[str, Any] = {}
        refused: list[str] = []
        for resource in CALICO_RESOURCES:
            try:
                found[resource.attribute] = list(self.objects(resource)[0])
            except ApiError as error:
                if isinstance(error, ApiStatusError) and error.status == 404:
                    continue
                # The first one's sentence has the rule that allows all of them.
                if not refused:
                    self._note(error)
                refused.append(resource.plural)
        return found

    def _roles_of_dns(self) -> dict[str, Any]:
        """The ClusterRole of CoreDNS and its binding, if they have the usual name."""
        found: dict[str, Any] = {}
        for attribute, plural, kind in (
            ("cluster_roles", "clusterroles", ClusterRoleObject),
            ("cluster_role_bindings", "clusterrolebindings", ClusterRoleBindingObject),
        ):
            read = self._named(
                f"{plural} {DNS_ROLE}",
                f"{ROLES}/{plural}/{DNS_ROLE}",
                kind,
                rule("rbac.authorization.k8s.io", plural, DNS_ROLE),
            )
            found[attribute] = [each for each in [read] if each is not None]
            for each in found[attribute]:
                without_free_text(each.metadata)
        return found

    def _named(self, what: str, path: str, kind: Any, allowed: str) -> Any:
        """One object; None if it does not exist, or if `problems` has the reason why not."""
        try:
            raw = self.connection.get(path, what, rule=allowed, until=self._until)
            return self.connection.decoded(raw, kind, what)
        except ApiError as error:
            if not (isinstance(error, ApiStatusError) and error.status == 404):
                self._note(error)
            return None

    def _cluster_uid(self) -> str:
        path, what = "/api/v1/namespaces/kube-system", "namespace kube-system"
        allowed = rule("", "namespaces", "kube-system")
        try:
            raw = self.connection.get(path, what, rule=allowed, until=self._until)
            return str(self.connection.decoded(raw, _Namespace, what).metadata.uid)
        except ApiError as error:
            self._note(error)
            return ""

    def _note(self, error: ApiError) -> None:
        if str(error) not in self.problems:
            self.problems.append(str(error))


def _configuration(source: kubeconfigs.Source, named: str) -> Configuration:
    limit_plugins()
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
            # because they can quote a user's entry. Only names of missing files are shown.
            words = str(error) if isinstance(error, OSError) else type(error).__name__
            if str(error).startswith("File does not exist"):
                words = str(error)
            raise ConfigurationError(
                f"Context {source.context} of {where} cannot be used: {words}; "
                f"{Server('', source.context, named).hint}"
            ) from None
    plugin = [line for line in said if line.startswith("exec:")]
    if plugin:
        raise ApiError(
            f"The credential plugin of context {source.context} failed: {plugin[0][:300]}."
        )
    return configuration


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """Collects log messages: the client logs a plugin's failure and continues without it."""
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield said
    finally:
        root.removeHandler(handler)


def _absence(node: NodeObject | None) -> str:
    if node is None:
        return "The node was deleted in the meantime."
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
