"""A trace ends where a policy map of Cilium refuses the packet, and names what decides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.changed_recordings import Document
from tests.cilium_with_maps import with_maps
from tests.paths.test_sockets import traced

__all__ = ["with_maps"]

AGENT, WEB, DB = "pod/ops/agent-z4jhd", "pod/shop/web-678979c555-c62gs", "pod/shop/db-0"
VAULT = "pod/sealed/vault-5dbd85c544-2n7cp"
Make = Callable[..., Path]


def test_a_packet_that_the_map_of_the_receiver_refuses(with_maps: Make) -> None:
    (path,) = traced(with_maps("healthy"), AGENT, DB, "5432")

    assert path.result == "dies"
    assert path.decisive is not None
    where = path.decisive.node, path.decisive.netns, path.decisive.stage
    assert where == ("td-w2", "pod shop/db-0", "policy")
    assert path.decisive.lines == [
        "cilium_policy_v3_01722: no ingress entry matches",
        "10.244.1.196 has identity 6895",
    ]


def test_a_packet_that_the_map_of_the_sender_refuses(with_maps: Make) -> None:
    (path,) = traced(with_maps("healthy"), VAULT, DB, "5432")

    assert path.result == "dies"
    assert path.decisive is not None
    assert path.decisive.netns == f"pod {VAULT[4:]}"
    assert path.decisive.lines[0] == "cilium_policy_v3_03512: no egress entry matches"


@pytest.mark.parametrize(
    ("recording", "source", "entry"),
    [
        ("healthy", WEB, "ingress from identity 17193, TCP 5432: allow"),
        ("policy-too-open", AGENT, "ingress from any identity, any protocol and port: allow"),
    ],
)
def test_what_the_maps_allow_is_shown(
    with_maps: Make, recording: str, source: str, entry: str
) -> None:
    """What else the programs do is not followed."""
    (path,) = traced(with_maps(recording), source, DB, "5432")

    assert path.result == "cannot be decided"
    policies = [each for each in path.there.hops if each.stage == "policy"]
    assert [each.node for each in policies] == ["td-w1", "td-w2"]
    assert policies[1].lines[0] == f"cilium_policy_v3_01722: {entry}"
    assert not any("is not followed" in each for each in path.unread)
    assert path.decisive is not None
    assert path.decisive.text == "the program of Cilium decides by its maps, which are not followed"


def test_maps_without_entries_leave_it_open(with_maps: Make) -> None:
    def older(_: str, document: Document) -> None:
        document["ebpf"].pop("policies_read")

    (path,) = traced(with_maps("healthy", older), AGENT, DB, "5432")
    assert path.result == "cannot be decided"
    assert any("shop/db-from-web selects pod" in each for each in path.unread)


def test_a_map_that_is_not_recognised_leaves_it_open(with_maps: Make) -> None:
    def change(_: str, document: Document) -> None:
        for each in document["ebpf"]["maps"]:
            if each["name"] == "cilium_policy_v3_01722":
                each["value_size"] = 16

    (path,) = traced(with_maps("healthy", change), AGENT, DB, "5432")
    assert path.result == "cannot be decided"
    assert any("shop/db-from-web selects pod" in each for each in path.unread)
