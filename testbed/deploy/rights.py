"""The granted rights, compared with the requests that were really made."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from testbed.cluster import kubectl
from testbed.deploy.overlay import HELPERS, NAMESPACE
from testbed.kubeadm import AUDIT_LOG
from testbed.layout import CONTROL_PLANE
from testbed.nodes import output
from wirecheck.collect.api.policies import GROUPS
from wirecheck.collect.api.resources import (
    CALICO_TYPES,
    CILIUM_ENDPOINTS,
    MASQUERADING,
    MOUNTED_COREFILES,
)

ROLES = {NAMESPACE: "wirecheck-agents", HELPERS: "wirecheck-helpers"}
"""By namespace; empty where none is applied."""
OTHER_POLICIES = {plural for kinds in GROUPS.values() for plural in kinds} - {"networkpolicies"}
OF_OTHER_NETWORKS = {*OTHER_POLICIES, *CALICO_TYPES, CILIUM_ENDPOINTS.plural}
OF_OTHER_CLUSTERS = {*MOUNTED_COREFILES, *MASQUERADING}
"""Resources and ConfigMaps that the test cluster does not have."""
ACCOUNT = f"system:serviceaccount:{NAMESPACE}:wirecheck"


@dataclass(frozen=True, slots=True, order=True)
class Right:
    """A verb on a resource; `where` is a namespace, or empty for the whole cluster."""

    verb: str
    resource: str
    name: str = ""
    where: str = ""


def granted() -> set[Right]:
    """What the service account's roles grant, right by right."""
    rules = json.loads(kubectl("get", "clusterrole", "wirecheck", "-o", "json"))["rules"]
    found = set(_rights(rules, ""))
    for namespace, role in ROLES.items():
        words = ("get", "role", role, "--ignore-not-found", "-o", "json")
        if text := kubectl("--namespace", namespace, *words):
            found |= set(_rights(json.loads(text)["rules"], namespace))
    return found


def _rights(rules: Iterable[Mapping[str, Any]], where: str) -> Iterator[Right]:
    for rule in rules:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames", [""]):
                    yield Right(verb, resource, name, where)


def used(start: int) -> tuple[set[Right], list[str]]:
    """What the account has asked for since the audit log ended at `start`, and what was refused."""
    text = output(CONTROL_PLANE, ["tail", "--bytes", f"+{start + 1}", AUDIT_LOG])
    return requested(text.splitlines(), granted())


def requested(lines: Iterable[str], rights: Iterable[Right]) -> tuple[set[Right], list[str]]:
    """The rights that the requests in an audit log took, and the requests that were refused."""
    by_name = {(right.resource, right.name) for right in rights if right.name}
    inner = {(right.verb, right.resource, right.where) for right in rights if right.where}
    found = set()
    refused = []
    for line in lines:
        event = json.loads(line)
        reference = event.get("objectRef")
        if event["user"]["username"] != ACCOUNT or not reference:
            continue
        parts = (reference.get("resource"), reference.get("subresource"))
        resource = "/".join(part for part in parts if part)
        name = reference.get("name", "")
        name = name if (resource, name) in by_name else ""
        namespace = reference.get("namespace", "")
        where = namespace if (event["verb"], resource, namespace) in inner else ""
        if event.get("responseStatus", {}).get("code") == 403:
            refused.append(f"{event['verb']} {resource} {reference.get('name', '')}")
        else:
            found.add(Right(event["verb"], resource, name, where))
    return found, refused


def objections(rights: set[Right], taken: set[Right], refused: Iterable[str]) -> list[str]:
    """Rights that nothing needs, and requests that nothing grants, as sentences.

    Corefiles of other distributions are mounted on none of the test cluster's nodes. Policies of
    other kinds, Calico's pools, Cilium's endpoints and ip-masq-agent's settings are read only where
    they exist.
    """
    needless = [
        f"granted and not used: {right.verb} {right.resource} {right.name}".rstrip()
        for right in sorted(rights - taken)
        if not _is_the_other_way_to_exec(right, taken)
        and right.name not in OF_OTHER_CLUSTERS
        and right.resource not in OF_OTHER_NETWORKS
    ]
    missing = [f"used and not granted: {right}" for right in sorted(taken - rights)]
    return needless + missing + [f"refused: {each}" for each in refused]


def _is_the_other_way_to_exec(right: Right, taken: set[Right]) -> bool:
    """Which of two verbs an exec takes is kubectl's release to choose."""
    return right.resource == "pods/exec" and any(
        each.resource == "pods/exec" and each.verb in ("create", "get") for each in taken
    )
