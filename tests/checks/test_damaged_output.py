"""Commands that fail, hang or are cut on a node: their checks are errors, the others as before."""

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from testbed.record import RECORDED
from wirecheck.catalogue.findings import Outcome
from wirecheck.catalogue.registry import load
from wirecheck.evaluation.evaluate import Evaluation
from wirecheck.results.records import ItemResult
from wirecheck.snapshot.folder import Snapshot, SnapshotWriter
from wirecheck.snapshot.index import RoundRecord
from wirecheck.snapshot.node_document import Command, NodeDocument

NODE = "wc-w1"
SAVE = "iptables-nft-save"
HEALTHY = Snapshot.open(RECORDED / "healthy")
DOCUMENT = HEALTHY.document(NODE)
CHECKS = [check for check in load() if check.scope == "node"]
RULES = DOCUMENT.commands[SAVE].output
FINE = {Outcome.PASS, Outcome.SKIP}
PATHS = {check.id for check in CHECKS if check.group == "paths"}
OTHERS_OF_RULES = {
    "conntrack.random_source_ports",
    "cni.host_ports_mapped",
    "pods.addresses_kept",
    "pods.egress_masqueraded",
}
"""Checks of other groups that read the same dump."""


def evaluated(folder: Path, document: NodeDocument) -> Mapping[str, ItemResult]:
    """All checks of a node that showed this."""
    writer = SnapshotWriter(folder, replace(HEALTHY.index, looks=[]))
    writer.write_api(1, HEALTHY.api())
    writer.write_document(1, NODE, msgspec.json.encode(document))
    look = HEALTHY.index.looks[0]
    writer.finish_round(RoundRecord(look.started, look.finished, {NODE: look.visits[NODE]}))
    return {item.check: item for item in Evaluation(Snapshot.open(folder), CHECKS).node(NODE)}


def with_command(name: str, **changes: object) -> NodeDocument:
    commands = {**DOCUMENT.commands, name: replace(DOCUMENT.commands[name], **changes)}
    return replace(DOCUMENT, commands=commands)


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, ItemResult]:
    return evaluated(tmp_path_factory.mktemp("healthy"), DOCUMENT)


DAMAGED = {
    "cut within a line": {"output": RULES[: len(RULES) // 2 + 7]},
    "cut at the end of a line": {"output": RULES[: RULES.index("\n", len(RULES) // 2) + 1]},
    "cut before the last line": {"output": RULES.rstrip().rpartition("\n")[0] + "\n"},
    "nothing but a newline": {"output": "\n"},
    "twice": {"output": RULES + RULES},
    "an unknown table": {"output": RULES + "*broute\nCOMMIT\n"},
    "no text": {"output": "\ufffd\ufffd\x00" * 100},
    "a time limit": {"output": "", "status": None, "problem": "time limit", "seconds": 60.0},
    "a crash": {"output": "", "status": -11, "stderr": "Segmentation fault"},
    "a crash after half": {"output": RULES[: len(RULES) // 2], "status": 139},
    "too much": {"output": "", "status": None, "problem": "too large"},
}


@pytest.mark.parametrize("changes", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged_rules_never_pass_and_do_not_affect_other_checks(
    changes: dict, healthy: Mapping[str, ItemResult], tmp_path: Path
) -> None:
    items = evaluated(tmp_path, with_command(SAVE, **changes))
    rested_on_rules = {
        name for name, item in items.items() if item.outcome is not healthy[name].outcome
    }
    services = {name for name in items if name.startswith("services.")}
    passed_before = {name for name in services if healthy[name].outcome is Outcome.PASS}
    assert passed_before
    assert not {name for name in passed_before if items[name].outcome in FINE} or (
        changes == DAMAGED["nothing but a newline"]
        and {Outcome.FAIL} <= {items[name].outcome for name in services}
    )
    assert rested_on_rules <= OTHERS_OF_RULES | {
        name
        for name in items
        if name.split(".")[0] in ("services", "kube_proxy", "firewall", "policy", "paths")
    }
    for name in rested_on_rules:
        assert "fault of wirecheck" not in items[name].reason
        assert "\n" not in items[name].reason
    reasons = {items[name].reason for name in services if items[name].outcome is Outcome.ERROR}
    assert len(reasons) <= 2


def test_without_the_tool_one_check_is_an_error_and_the_others_refer_to_it(
    healthy: Mapping[str, ItemResult], tmp_path: Path
) -> None:
    missing = {"output": "", "status": None, "problem": "missing"}
    items = evaluated(tmp_path, with_command(SAVE, **missing))
    changed = {name for name, item in items.items() if item.outcome is not healthy[name].outcome}
    errors = {name for name, item in items.items() if item.outcome is Outcome.ERROR}
    services = {name for name in items if name.startswith("services.")}

    assert errors == {"nodes.tools_present"}
    assert {name for name in services if healthy[name].outcome is Outcome.PASS} <= changed
    for name in changed - errors - PATHS:
        assert items[name].outcome is Outcome.SKIP
        assert f"{NODE} has no iptables" in items[name].reason
        assert "See nodes.tools_present." in items[name].reason


@pytest.mark.parametrize(
    "changes",
    [
        {"status": 1, "stderr": "Error: syntax error"},
        {"status": -11, "stderr": ""},
        {"status": 0, "output": '{"nftables": [{"metainfo": {"json_schema_version": 1}}, {"ru'},
        {"status": None, "problem": "time limit"},
    ],
)
def test_an_nft_that_crashes(
    changes: dict, healthy: Mapping[str, ItemResult], tmp_path: Path
) -> None:
    name = "nft-kube-proxy"
    broken = msgspec.convert({"argv": ["nft", "-j", "list"], **changes}, Command)
    document = replace(DOCUMENT, commands={**DOCUMENT.commands, name: broken})
    items = evaluated(tmp_path, document)
    changed = {each for each in items if items[each].outcome is not healthy[each].outcome}
    # It does not apply where no path can be decided.
    changed -= PATHS
    assert changed
    assert all(items[each].outcome is Outcome.ERROR for each in changed)
    assert not any("fault of wirecheck" in items[each].reason for each in changed)


def test_a_node_without_a_mode_never_passes(tmp_path: Path) -> None:
    document = replace(DOCUMENT, commands={})
    items = evaluated(tmp_path, document)
    services = [item for name, item in items.items() if name.startswith("services.")]
    assert {item.outcome for item in services} <= {Outcome.ERROR, Outcome.SKIP}
    assert any(item.outcome is Outcome.ERROR for item in services)
