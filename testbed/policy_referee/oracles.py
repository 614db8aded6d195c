"""Programs that evaluate NetworkPolicies independently, as processes that answer lines."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from testbed.commands import run
from testbed.components import Component, build
from testbed.policy_referee.comparing import Oracle, Question
from testbed.policy_referee.random_clusters import ADMIN, OUTSIDE, RandomCluster
from testbed.state import State

ANALYZER = "analyzer"
ENGINE = "kube-network-policies"
NAMES = (ANALYZER, "cyclonus", ENGINE, ADMIN)
PROGRAMS = Component("policy-oracles", "policy-oracles", ".")
"""Those that are Go modules, in one program."""
_PACKAGE = "network-config-analyzer==2.1.0"
_WORKER = Path(__file__).with_name("analyzer_worker.py")
_LIMIT = 1800.0


@contextmanager
def started(name: str, here: State) -> Iterator[Oracle]:
    """One of `NAMES`, installed or built first."""
    program = ENGINE if name == ADMIN else name
    command = _analyzer(here) if name == ANALYZER else [str(build(PROGRAMS, here)), program]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        yield lambda cluster, questions: _asked(process, document(cluster, questions))
        assert process.stdin
        process.stdin.close()


def document(cluster: RandomCluster, questions: Sequence[Question]) -> dict[str, Any]:
    """The questions as a worker reads them."""
    return {
        "namespaces": cluster.namespaces,
        "pods": cluster.pods,
        "outside": OUTSIDE,
        "policies": cluster.policies,
        "admin": _of_kind(cluster, "AdminNetworkPolicy"),
        "baseline": _of_kind(cluster, "BaselineAdminNetworkPolicy"),
        "questions": [asdict(each) for each in questions],
    }


def _of_kind(cluster: RandomCluster, kind: str) -> list[Any]:
    return [each for each in cluster.admin if each["kind"] == kind]


def _asked(process: subprocess.Popen[str], question: dict[str, Any]) -> Sequence[bool]:
    assert process.stdin
    assert process.stdout
    process.stdin.write(json.dumps(question) + "\n")
    process.stdin.flush()
    answers: list[bool] = json.loads(process.stdout.readline())
    return answers


def _analyzer(here: State) -> list[str]:
    """What starts network-config-analyzer, in an environment of its own: it pins what it needs."""
    folder = here.root / "policy-analyzer"
    python = folder / "bin" / "python"
    if not (folder / "bin" / "nca").exists():
        run([sys.executable, "-m", "venv", str(folder)], timeout=_LIMIT)
        run([str(python), "-m", "pip", "install", "--quiet", _PACKAGE], timeout=_LIMIT)
    return [str(python), str(_WORKER)]
