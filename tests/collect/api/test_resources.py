from __future__ import annotations

from pathlib import Path

import yaml

from wirecheck.collect.api.policies import rules
from wirecheck.collect.api.resources import (
    CALICO_RULE,
    CILIUM_ENDPOINTS,
    CONFIG_MAPS,
    DAEMON_SETS,
    DNS_ROLE,
    MASQUERADING,
    MOUNTED_COREFILES,
    NAMESPACES,
    NODES,
    RESOURCES,
    RUNTIME_CLASSES,
    rule,
)

DNS_ROLES = ("clusterroles", "clusterrolebindings")
DOCUMENTATION = Path(__file__).parents[3] / "docs" / "inventory.md"


def test_the_documented_role_is_what_is_read_and_no_more() -> None:
    blocks = DOCUMENTATION.read_text().split("```yaml\n")[1:]
    role = next(b for b in blocks if "kind: ClusterRole" in b).partition("```")[0]
    needed = [
        *(resource.rule for resource in (*RESOURCES, DAEMON_SETS, RUNTIME_CLASSES, NAMESPACES)),
        *rules(),
        CALICO_RULE,
        CILIUM_ENDPOINTS.rule,
        *(
            rule("", "configmaps", name)
            for name in (*CONFIG_MAPS, *MOUNTED_COREFILES, *MASQUERADING)
        ),
        *(rule("rbac.authorization.k8s.io", each, DNS_ROLE) for each in DNS_ROLES),
        rule("", "namespaces", "kube-system"),
    ]
    assert yaml.safe_load(role)["rules"] == [yaml.safe_load(text) for text in needed]


def test_the_right_to_watch_is_asked_for_what_is_watched_only() -> None:
    assert 'verbs: ["list", "watch"]' in NODES.rule
    assert 'verbs: ["list"]' in DAEMON_SETS.rule
    assert 'verbs: ["list"]' in RUNTIME_CLASSES.rule
