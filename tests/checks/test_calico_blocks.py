"""Calico's address blocks: who they belong to, and the blackhole routes for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.calico import Document, changed, found, objects_beside, with_objects
from tests.changed_recordings import items
from wirecheck.api_index.calico_blocks import AddressBlocks
from wirecheck.catalogue.findings import Level, NotApplicable, Outcome
from wirecheck.network.registry import PLUGIN_NAMES
from wirecheck.snapshot.folder import Snapshot
from wirecheck.snapshot.redact import redact

IPT, NFT, BORROWED = "healthy-iptables", "healthy-nftables", "ipt-addresses-borrowed"
CLAIMED, ROUTES = "cni.blocks_claimed", "routes.own_blocks"
OF_W2, EMPTY = "10.244.85.128/26", "10.244.9.0/26"
Make = Callable[..., Path]


@pytest.fixture
def with_blocks(tmp_path: Path) -> Make:
    """A copy of a recording with its blocks, after a change to them and to the routes of tb-w2."""

    def make(
        of_block: Document | None = None,
        route: Callable[[list[Document]], None] = lambda _: None,
        recording: str = IPT,
    ) -> Path:
        def on_node(name: str, document: Document) -> None:
            if name == "tb-w2":
                route(document["namespaces"][0]["routes"])

        # The objects are those of the healthy cluster; the one of tb-w2 is changed.
        objects = objects_beside(IPT if recording == BORROWED else recording)
        for each in objects["ipamBlocks"]:
            if each["spec"]["cidr"] == OF_W2:
                each["spec"].update(of_block or {})
        return with_objects(changed(recording, tmp_path, on_node), objects)

    return make


def without(destination: str) -> Callable[[list[Document]], None]:
    def change(routes: list[Document]) -> None:
        routes[:] = [each for each in routes if each["destination"] != destination]

    return change


def blackhole(destination: str) -> Callable[[list[Document]], None]:
    def change(routes: list[Document]) -> None:
        without(destination)(routes)
        route = {"family": 4, "table": 254, "scope": "global", "protocol": 80, "type": "blackhole"}
        routes.append({**route, "destination": destination})

    return change


def with_empty_block(folder: Path, node: str, cidr: str = EMPTY) -> Path:
    """A further block, of which no pod has an address."""
    spec = {"cidr": cidr, "affinity": f"host:{node}"}
    block = {"metadata": {"name": cidr.translate(str.maketrans("./", "--"))}, "spec": spec}
    blocks = [*objects_beside(IPT)["ipamBlocks"], block]
    return with_objects(folder, {"ipamBlocks": blocks})


@pytest.mark.parametrize("recording", [IPT, NFT])
@pytest.mark.parametrize("check", [CLAIMED, ROUTES])
def test_the_blocks_of_a_healthy_cluster_are_in_order(
    with_blocks: Make, recording: str, check: str
) -> None:
    assert {each.outcome for each in items(with_blocks(recording=recording), check)} == {
        Outcome.PASS
    }


class TestClaims:
    def test_a_block_that_another_node_has_claimed_is_a_warning(self, with_blocks: Make) -> None:
        folder = with_blocks({"affinity": "host:tb-cp"}, recording=BORROWED)

        (item,) = items(folder, CLAIMED)
        (finding,) = item.findings
        assert finding.level is Level.WARN
        assert str(finding.object) == "IPAMBlock 10-244-85-128-26"
        assert finding.expected == f"block {OF_W2} of node tb-w2, as its BlockAffinity says"
        assert finding.found == "affinity host:tb-cp"
        # felix routes by the block, so its blackhole routes are as they should be.
        assert found(folder, ROUTES) == []

    def test_a_block_of_a_node_that_is_gone_is_a_warning(self, with_blocks: Make) -> None:
        ((_, _, what),) = found(with_blocks({"affinity": "host:tb-w9"}), CLAIMED)

        assert what == "affinity host:tb-w9, a node that does not exist"

    @pytest.mark.parametrize(
        "spec",
        [
            {"affinity": "virtual:load-balancer"},
            {"affinity": ""},
            {"affinity": "host:tb-cp", "deleted": True},
            {"affinity": "host:tb-cp", "cidr": "10.244.85.128/99"},
        ],
    )
    def test_blocks_of_no_node_do_not_count(self, with_blocks: Make, spec: Document) -> None:
        assert found(with_blocks(spec), CLAIMED) == []

    def test_a_claim_that_is_pending_says_nothing(self, with_blocks: Make) -> None:
        folder = with_blocks({"affinity": "host:tb-cp"})
        claims = objects_beside(IPT)["blockAffinities"]
        for each in claims:
            each["spec"]["state"] = "pending"

        assert found(with_objects(folder, {"blockAffinities": claims}), CLAIMED) == []

    def test_a_claim_by_several_nodes_includes_the_right_one(self, with_blocks: Make) -> None:
        folder = with_blocks({"affinity": "host:tb-cp"})
        claims = objects_beside(IPT)["blockAffinities"]
        spec = {"cidr": OF_W2, "node": "tb-cp", "state": "confirmed"}
        claims.append({"metadata": {"name": "tb-cp-10-244-85-128-26"}, "spec": spec})

        assert found(with_objects(folder, {"blockAffinities": claims}), CLAIMED) == []

    def test_other_networks_have_no_blocks(self, small: Any) -> None:
        with pytest.raises(NotApplicable, match="no IPAMBlocks of Calico were read"):
            small.findings(CLAIMED)

    def test_odd_ranges_are_left_out(self) -> None:
        assert AddressBlocks.of([], []).by_range == {}


class TestRoutes:
    def test_a_missing_blackhole_route_is_a_warning(self, with_blocks: Make) -> None:
        folder = with_blocks(route=without(OF_W2))

        ((node, where, what),) = found(folder, ROUTES)
        assert (node, where) == ("tb-w2", f"Node tb-w2 block {OF_W2}")
        assert what == "no route for the block"
        (item,) = [each for each in items(folder, ROUTES) if each.findings]
        assert item.findings[0].level is Level.WARN
        assert "delete pod calico-node-" in item.findings[0].remedy

    def test_a_blackhole_route_for_a_free_block_of_another_node_is_a_warning(
        self, with_blocks: Make
    ) -> None:
        folder = with_empty_block(with_blocks(route=blackhole(EMPTY)), "tb-w1")

        assert [each for each in found(folder, ROUTES) if each[0] == "tb-w2"] == [
            (
                "tb-w2",
                f"Node tb-w2 block {EMPTY}",
                f"blackhole {EMPTY}: pods that get an address of it will not be reached",
            )
        ]

    def test_a_block_with_pods_is_reported_by_another_check(self, with_blocks: Make) -> None:
        folder = with_blocks(route=blackhole("10.244.140.128/26"))

        assert found(folder, ROUTES) == []
        assert {each[0] for each in found(folder, "routes.no_blackholes")} == {"tb-w2"}

    def test_a_route_to_a_free_block_of_another_node_passes(self, with_blocks: Make) -> None:
        folder = with_empty_block(with_blocks(), "tb-w1")

        # tb-w1 itself has none for this block, which was added here.
        assert [each[0] for each in found(folder, ROUTES)] == ["tb-w1"]

    def test_a_block_of_one_address_needs_none(self, with_blocks: Make) -> None:
        folder = with_empty_block(with_blocks(), "tb-w1", "10.244.9.9/32")

        assert found(folder, ROUTES) == []

    def test_a_route_in_another_table_is_not_the_one(self, with_blocks: Make) -> None:
        def elsewhere(routes: list[Document]) -> None:
            for each in routes:
                if each["destination"] == OF_W2:
                    each["table"] = 100

        assert len(found(with_blocks(route=elsewhere), ROUTES)) == 1

    def test_without_blocks_nothing_is_said(self, with_blocks: Make) -> None:
        folder = with_objects(with_blocks(), {"ipamBlocks": []})

        results = items(folder, ROUTES)
        assert {each.outcome for each in results} == {Outcome.SKIP}
        assert results[0].reason == "the IPAMBlocks of Calico were not read"

    def test_other_networks_have_no_such_routes(self, small: Any) -> None:
        with pytest.raises(NotApplicable, match="Calico does not join this node"):
            small.findings(ROUTES)


def test_a_redacted_snapshot_gives_the_same_results(
    with_blocks: Make, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = with_blocks({"affinity": "host:tb-cp"}, without(OF_W2))
    copy = tmp_path_factory.mktemp("redacted")
    redact(Snapshot.open(folder), copy, PLUGIN_NAMES)

    for check in (CLAIMED, ROUTES):
        outcomes = [sorted(each.outcome for each in items(each, check)) for each in (folder, copy)]
        assert outcomes[0] == outcomes[1]
        assert Outcome.WARN in outcomes[1]
    text = (copy / "look-1" / "api.json.gz").read_bytes()
    assert Snapshot.open(copy).api(1).ipam_blocks[0].spec.affinity.startswith("host:")
    assert b"tb-w2" not in text
