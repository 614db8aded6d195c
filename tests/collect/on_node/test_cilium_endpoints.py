"""Whether Cilium only audits an endpoint is read from the header that its agent compiles."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wirecheck.collect.on_node import cilium_endpoints

HEADER = """/*
 * Labels:
 * - k8s:note=#define POLICY_AUDIT_MODE
 */

#define LOCAL_DELIVERY_METRICS 1
#undef DROP_NOTIFY_LONG
#{} POLICY_AUDIT_MODE{}
#define TRACE_NOTIFY 1
"""


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the node's endpoints."""
    folder = tmp_path / cilium_endpoints.FOLDERS[0]
    folder.mkdir(parents=True)
    monkeypatch.setattr(cilium_endpoints, "ROOTS", (str(tmp_path),))
    return folder


def write(state: Path, name: str, text: str) -> None:
    (state / name).mkdir()
    (state / name / "ep_config.h").write_text(text)


def test_each_endpoint_has_its_own_mode(state: Path) -> None:
    write(state, "189", HEADER.format("undef", ""))
    write(state, "1722", HEADER.format("define", " 1"))
    write(state, "7_next", HEADER.format("define", " 1"))
    write(state, "8", "#define POLICY_AUDIT_MODE_OF_OLD 1\n")
    (state / "9").mkdir()
    (state / "templates").mkdir()
    assert cilium_endpoints.read_all() == {"audited": {"189": False, "1722": True}}


def test_a_folder_that_is_linked_in_the_nodes_root(state: Path, tmp_path: Path) -> None:
    """Where the agent keeps its state is configured; /var/run mostly leads to /run."""
    write(state, "189", HEADER.format("define", " 1"))
    other = tmp_path / "elsewhere" / "189"
    other.mkdir(parents=True)
    (state / "189").rename(other / "moved")
    (state / "189").symlink_to("/elsewhere/189/moved")
    assert cilium_endpoints.read_all() == {"audited": {"189": True}}


def test_what_is_not_a_small_file_is_left_out(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(state, "1", HEADER.format("define", " 1"))
    write(state, "2", HEADER.format("define", " 1") + "x" * 2000)
    (state / "3").mkdir()
    os.mkfifo(state / "3" / "ep_config.h")
    monkeypatch.setattr(cilium_endpoints, "MOST_BYTES", 1000)
    assert cilium_endpoints.read_all() == {"audited": {"1": True}}


def test_many_endpoints_are_bounded(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 6):
        write(state, str(number), HEADER.format("undef", ""))
    monkeypatch.setattr(cilium_endpoints, "MOST_ENDPOINTS", 3)
    assert len(cilium_endpoints.read_all()["audited"]) == 3


def test_without_endpoints_the_reason_names_the_folder(state: Path) -> None:
    assert "run/cilium/state" in cilium_endpoints.read_all()["audit_problem"]
