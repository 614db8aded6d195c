"""Chooses the kubeconfig and the context, and checks them before the client does.

The client's own messages are not shown: some quote the faulty entry, and an entry of `users`
contains the token.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from wirecheck.snapshot.in_cluster import IN_CLUSTER

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount/token")


class KubeconfigError(Exception):
    """There is no usable kubeconfig. The message has the file, the cause and the next step."""


@dataclass(frozen=True, slots=True)
class Source:
    """The configuration of the access to the cluster; without `files`, a pod's own account."""

    files: str
    """One path, or several joined as in $KUBECONFIG."""
    context: str


def choose(
    kubeconfig: str | os.PathLike[str] | None,
    context: str | None,
    environment: Mapping[str, str] = os.environ,
) -> Source:
    """The named kubeconfig, else $KUBECONFIG, else ~/.kube/config, else the pod's service account.

    Raises KubeconfigError if there is none, or if it lacks the context.
    """
    named, paths = _paths(kubeconfig, environment)
    if files := [path for path in paths if path.exists()]:
        contents = [_content(path) for path in files]
        wanted = context or _first(contents, "current-context")
        _check(files, contents, wanted)
        return Source(os.pathsep.join(str(path) for path in files), wanted)
    if not named and SERVICE_ACCOUNT.exists() and "KUBERNETES_SERVICE_HOST" in environment:
        return Source("", IN_CLUSTER)
    raise KubeconfigError(
        f"There is no kubeconfig at {', '.join(str(path) for path in paths)}; "
        "give one with --kubeconfig, $KUBECONFIG or `kubeconfig:` in the inventory."
    )


def contexts_of(
    kubeconfig: str | os.PathLike[str] | None, environment: Mapping[str, str] = os.environ
) -> list[str]:
    """The names of the contexts. Raises KubeconfigError for a file that cannot be read."""
    _, paths = _paths(kubeconfig, environment)
    return sorted(_named([_content(path) for path in paths if path.exists()], "contexts"))


def _paths(
    kubeconfig: str | os.PathLike[str] | None, environment: Mapping[str, str]
) -> tuple[str, list[Path]]:
    """What was named, and the files that may have it."""
    named = os.fspath(kubeconfig) if kubeconfig is not None else environment.get("KUBECONFIG", "")
    paths = [Path(part).expanduser() for part in named.split(os.pathsep) if part]
    return named, paths or [Path("~/.kube/config").expanduser()]


def _content(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise KubeconfigError(
            f"The kubeconfig {path}{line} is not YAML: {error.problem or error.context}."
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        why = (isinstance(error, OSError) and error.strerror) or "it is not YAML text"
        raise KubeconfigError(f"The kubeconfig {path} cannot be read: {why}.") from None
    if not isinstance(content, dict):
        raise KubeconfigError(f"The kubeconfig {path} contains no configuration.")
    return content


def _check(files: list[Path], contents: list[dict[str, Any]], wanted: str) -> None:
    where = ", ".join(str(path) for path in files)
    contexts = _named(contents, "contexts")
    known = f"it has {', '.join(sorted(contexts))}" if contexts else "it has none"
    if not wanted:
        raise KubeconfigError(
            f"The kubeconfig {where} sets no current-context; name one with --context: {known}."
        )
    if wanted not in contexts:
        raise KubeconfigError(f"The kubeconfig {where} has no context {wanted}; {known}.")
    cluster = _inner(contexts[wanted], "context").get("cluster")
    server = _inner(_named(contents, "clusters").get(str(cluster), {}), "cluster").get("server")
    if not str(server).startswith(("https://", "http://")):
        raise KubeconfigError(
            f"Context {wanted} of the kubeconfig {where} names the cluster {cluster}, but the "
            "file has no such cluster with a `server: https://…`."
        )


def _first(contents: list[dict[str, Any]], key: str) -> str:
    """The first file that sets a value wins, as kubectl merges them."""
    return next((str(content[key]) for content in contents if content.get(key)), "")


def _named(contents: list[dict[str, Any]], key: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for content in contents:
        entries = content.get(key)
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and "name" in entry:
                found.setdefault(str(entry["name"]), entry)
    return found


def _inner(entry: Any, key: str) -> dict[str, Any]:
    inner = entry.get(key)
    return inner if isinstance(inner, dict) else {}
