"""kubectl's `-n` and `-l`: a namespace beside a name, and pods by their labels."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from wirecheck.model.cluster import Cluster
from wirecheck.run.request import RequestError

Matches = Callable[[Mapping[str, str]], bool]
_TERM = re.compile(r"(?P<not>!?)(?P<key>[\w./-]+)(?:(?P<sign>==?|!=)(?P<value>[\w.-]*))?")


def qualified(name: str, namespace: str | None) -> str:
    """`NAMESPACE/NAME`, in whichever form it was given. Raises RequestError if the two differ."""
    space, slash, short = name.rpartition("/")
    if slash and namespace and space != namespace:
        raise RequestError(
            f"{name} names another namespace than -n {namespace}; leave out one of the two."
        )
    return name if slash or not namespace else f"{namespace}/{short}"


def pods_selected(cluster: Cluster, selector: str, namespace: str | None) -> list[str]:
    """The pods with these labels, as `NAMESPACE/NAME`. Raises RequestError if there is none."""
    terms = [_term(text.strip()) for text in selector.split(",")]
    found = sorted(
        f"{pod.namespace}/{pod.name}"
        for pod in cluster.pods
        if namespace in (None, pod.namespace)
        and all(matches(pod.object.metadata.labels) for matches in terms)
    )
    if not found:
        where = f" in namespace {namespace}" if namespace else ""
        raise RequestError(f"No pod{where} has the labels {selector}.")
    return found


def _term(text: str) -> Matches:
    """Read `key=value`, `key!=value`, `key` or `!key`: kubectl's `-l` without sets."""
    match = _TERM.fullmatch(text)
    if match is None or (match["not"] and match["sign"]):
        raise RequestError(
            f"{text!r} is not a selector. Write key=value, key!=value, key or !key, with commas "
            "between them."
        )
    key, sign, value = match["key"], match["sign"], match["value"]
    if sign is None:
        wanted = not match["not"]
        return lambda labels: (key in labels) is wanted
    if sign == "!=":
        return lambda labels: labels.get(key) != value
    return lambda labels: labels.get(key) == value
