"""Completion as a shell asks for it: click's own protocol, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def completed(*words: str) -> list[str]:
    """What bash is offered for the last of the words."""
    environment = {
        **os.environ,
        "_WIRECHECK_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(["wirecheck", *words]),
        "COMP_CWORD": str(len(words)),
    }
    script = "from wirecheck.cli.main import wirecheck; wirecheck(prog_name='wirecheck')"
    said = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert said.stderr == ""
    return [line.partition(",")[2] for line in said.stdout.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_there_is_a_script_for_each_shell(shell):
    script = "from wirecheck.cli.main import wirecheck; wirecheck(prog_name='wirecheck')"
    said = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "_WIRECHECK_COMPLETE": f"{shell}_source"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )

    assert f"_WIRECHECK_COMPLETE={shell}_complete" in said.stdout


def test_commands_are_completed():
    assert completed("insp") == ["inspect"]
    assert {"pod", "service", "node", "policy"} <= set(completed("inspect", ""))
    assert {"record", "redact", "show"} <= set(completed("snapshot", ""))


def test_names_are_completed_from_the_snapshot(broken):
    snapshot = ["--snapshot", str(broken)]

    assert completed("inspect", "node", *snapshot, "wc-w") == ["wc-w1", "wc-w2"]
    assert "shop/web-sticky" in completed("inspect", "service", *snapshot, "shop/web-")
    assert completed("inspect", "policy", *snapshot, "sealed/") == ["sealed/no-egress"]
    assert "shop/web-678979c555-h9f9s" in completed("inspect", "pod", *snapshot, "shop/web-6")
    assert completed("inspect", "service", *snapshot, "shop/web", "--node", "wc-c") == ["wc-cp"]


def test_without_a_snapshot_nothing_is_offered_and_nothing_asked():
    assert completed("inspect", "pod", "shop/") == []
    assert completed("inspect", "pod", "--snapshot", "/nowhere", "shop/") == []


def test_checks_formats_and_contexts_are_completed(tmp_path, monkeypatch):
    contexts = "contexts: [{name: prod}, {name: preprod}, {name: test}]"
    (tmp_path / "config").write_text(contexts)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))

    assert completed("run", "-k", "links.equal") == ["links.equal_mtu"]
    assert {"dns", "dns.latency"} <= set(completed("explain", "dn"))
    assert completed("run", "-o", "ju") == ["junit"]
    assert completed("run", "--context", "pr") == ["preprod", "prod"]
    (tmp_path / "other").write_text("contexts: [{name: prague}]")
    words = ("run", "--kubeconfig", str(tmp_path / "other"), "--context", "pr")
    assert completed(*words) == ["prague"]
    (tmp_path / "other").write_text("{garbage")
    assert completed(*words) == []


def test_selections_are_completed_from_the_snapshot(broken):
    snapshot = ["--snapshot", str(broken)]

    assert completed("run", *snapshot, "--node", "wc-w") == ["wc-w1", "wc-w2"]
    assert completed("run", *snapshot, "-n", "sh") == ["shop"]
