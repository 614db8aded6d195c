"""The transports, with stand-ins for ssh, docker and sudo on the PATH and recorded output."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import testinfra

from wirecheck.collect.node_program import NOT_LET_IN, OTHER_PROGRAM, TOO_OLD
from wirecheck.collect.on_node.deadline import RAN_OUT
from wirecheck.collect.on_node.visit import NOT_ROOT
from wirecheck.collect.transport import remote_command as transport
from wirecheck.collect.transport.errors import (
    TimeLimitError,
    UnreachableError,
    UnrecognisedAnswerError,
    VisitError,
)
from wirecheck.inventory.file import AccessMethod, AgentPod

SSH = AccessMethod(node="n1", uri="ssh://root@192.0.2.1:2222", address="192.0.2.1")


def run_on(access: AccessMethod, command: str = "true", seconds: float = 60) -> bytes:
    return transport.run_on(access, command, seconds=seconds, called_off=threading.Event())


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], Path]:
    """Put a shell script in place of a program; it writes its arguments to `NAME.argv`."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def put(name: str, script: str) -> Path:
        argv = tmp_path / f"{name}.argv"
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\nprintf '%s\\n' \"$@\" > {argv}\n{script}\n")
        path.chmod(0o755)
        return argv

    return put


def test_local_output_is_raw() -> None:
    access = AccessMethod(node="n1", uri="local://", address="")

    assert run_on(access, r"printf '\377\000%s' 'a%b'") == b"\xff\x00a%b"


def test_visits_by_the_same_way_do_not_mix_their_answers() -> None:
    """Two nodes of a careless inventory share what testinfra keeps for their way."""
    access = AccessMethod(node="n1", uri="local://", address="")
    kept = testinfra.get_host("local://", sudo=False).backend

    assert run_on(access, "printf 1") == b"1"

    assert testinfra.get_host("local://", sudo=False).backend is kept
    assert "run_local" not in vars(kept)


def test_ssh_asks_nothing_and_shares_its_connection(stand_in: Callable[[str, str], Path]) -> None:
    argv = stand_in("ssh", "echo hello")
    access = AccessMethod(
        node="n1",
        uri="ssh://admin@192.0.2.1:2222",
        address="",
        ssh_config="/etc/my config",
        identity_file="/keys/one",
        sudo=True,
    )

    assert run_on(access, 'python3 -c "code" AAA=') == b"hello\n"

    words = argv.read_text().splitlines()
    assert {"BatchMode=yes", "User=admin", "Port=2222", "/etc/my config", "/keys/one"} <= set(words)
    (control,) = [word for word in words if word.startswith("ControlPath=")]
    assert control.endswith("/%C")
    assert Path(control.removeprefix("ControlPath=")).parent.stat().st_mode & 0o777 == 0o700
    assert words[-2:] == ["192.0.2.1", """sudo -n /bin/sh -c 'python3 -c "code" AAA='"""]


def test_docker_and_podman_run_a_shell_there(stand_in: Callable[[str, str], Path]) -> None:
    for name in ("docker", "podman"):
        argv = stand_in(name, "echo hello")

        assert (
            run_on(AccessMethod(node="n1", uri=f"{name}://wc-w1", address=""), "a 'b'")
            == b"hello\n"
        )
        assert argv.read_text().splitlines() == [
            *("exec", "--interactive", "wc-w1"),
            *("/bin/sh", "-c", "a 'b'"),
        ]


def test_kubectl_is_told_the_cluster_the_pod_and_the_container(
    stand_in: Callable[[str, str], Path],
) -> None:
    argv = stand_in("kubectl", "echo $KUBECONFIG")

    assert run_on(AGENT, "a 'b'") == b"/kube/a:/kube/b\n"
    assert argv.read_text().splitlines() == [
        *("--context=my prod", "-n", "wirecheck", "-c", "agent"),
        *("exec", "--stdin", "wirecheck-agent-x", "--", "/bin/sh", "-c", "a 'b'"),
    ]


AGENT = AccessMethod(
    node="n1",
    uri="kubectl://n1",
    address="",
    pod=AgentPod("wirecheck", "wirecheck-agent-x", "/kube/a:/kube/b", "my prod"),
)
AGENTS_SAID = [
    (
        1,
        'Error from server (NotFound): pods "wirecheck-agent-x" not found',
        "agent pod no longer exists",
    ),
    (
        1,
        'Error from server (Forbidden): pods "x" is forbidden: User "u" cannot create resource '
        '"pods/exec" in API group "" in the namespace "wirecheck"',
        "not allowed to run commands",
    ),
    (1, "Error from server: error dialing backend: dial tcp 192.0.2.1:10250", "cannot reach its"),
    (127, "/bin/sh: 1: kubectl: not found", "lacks the program"),
    (OTHER_PROGRAM, "command terminated with exit code 67", "another release"),
    (
        NOT_LET_IN,
        "setns: Operation not permitted\ncommand terminated with exit code 66",
        r"\(setns: Operation not permitted\)",
    ),
]


@pytest.mark.parametrize(("status", "said", "cause"), AGENTS_SAID)
def test_an_agents_failure_becomes_a_sentence(
    stand_in: Callable[[str, str], Path], status: int, said: str, cause: str
) -> None:
    stand_in("kubectl", f"cat >&2 <<'END'\n{said}\nEND\nexit {status}")

    with pytest.raises(UnreachableError, match=cause):
        run_on(AGENT)


SAID = [
    ("ssh", 255, "ssh: Could not resolve hostname n1: Name or service not known", "not resolve"),
    ("ssh", 255, "ssh: connect to host 192.0.2.1 port 22: Connection refused", "refuses the conn"),
    (
        "ssh",
        255,
        "ssh: connect to host 192.0.2.1 port 22: Connection timed out",
        "it does not answer",
    ),
    ("ssh", 255, "ssh: connect to host 192.0.2.1 port 22: No route to host", "it does not answer"),
    (
        "ssh",
        255,
        "No ED25519 host key is known for [192.0.2.1]:22 and you have requested strict checking.\n"
        "Host key verification failed.",
        "host key is unknown",
    ),
    (
        "ssh",
        255,
        "@  WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!  @\nHost key verification failed.",
        "has changed",
    ),
    ("ssh", 255, "root@192.0.2.1: Permission denied (publickey,password).", "none of the keys"),
    (
        "ssh",
        255,
        "Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures",
        "ssh offered more keys",
    ),
    (
        "ssh",
        255,
        "kex_exchange_identification: Connection closed by remote host",
        "closed the conn",
    ),
    ("ssh", 1, "sudo: a password is required", "sudo requires a password"),
    (
        "ssh",
        1,
        "sudo: a terminal is required to read the password; either use the -S option",
        "sudo requires a password",
    ),
    ("ssh", 127, "bash: line 1: sudo: command not found", "sudo is not installed"),
    ("ssh", 127, "sh: 1: python3: not found", "python3 is not installed"),
    ("ssh", 127, "bash: python3: command not found", "python3 is not installed"),
    ("ssh", 127, "sh: python3: No such file or directory", "python3 is not installed"),
    ("ssh", 1, "ModuleNotFoundError: No module named 'ctypes'", "lacks parts"),
    ("ssh", TOO_OLD, "", "older than 3.6"),
    ("ssh", NOT_ROOT, "", "sudo: true"),
    ("ssh", 1, "sudo: sorry, you must have a tty to run sudo", "sudo requires a terminal"),
    ("ssh", 127, "bash: Zeile 1: python3: Kommando nicht gefunden.", "Kommando nicht gefunden"),
    ("docker", 1, "Error response from daemon: No such container: wc-w1", "no such container"),
    (
        "docker",
        1,
        "Error response from daemon: container 4f6bd4960f73 is not running",
        "not running",
    ),
    ("docker", 1, "Error response from daemon: Container 4f is paused, unpause", "not running"),
    (
        "docker",
        1,
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon"
        " running?",
        "daemon cannot be reached",
    ),
    ("docker", 127, 'OCI runtime exec failed: exec failed: "/bin/sh": stat /bin/sh: no', "OCI"),
    ("podman", 127, "/bin/sh: 1: podman: not found", "lacks the program"),
]


@pytest.mark.parametrize(("name", "status", "said", "cause"), SAID, ids=[s[2][:40] for s in SAID])
def test_a_failure_becomes_a_sentence(
    stand_in: Callable[[str, str], Path], name: str, status: int, said: str, cause: str
) -> None:
    stand_in(name, f"cat >&2 <<'END'\n{said}\nEND\nexit {status}")
    uri = SSH.uri if name == "ssh" else f"{name}://wc-w1"

    with pytest.raises(UnreachableError, match=cause) as raised:
        run_on(AccessMethod(node="n1", uri=uri, address=""))

    assert "n1" in str(raised.value)
    assert "Traceback" not in str(raised.value)
    assert str(raised.value).endswith((".", "hand.", "192.0.2.1:2222"))


def test_a_traceback_is_not_understood(stand_in: Callable[[str, str], Path]) -> None:
    stand_in("ssh", "printf 'Traceback (most recent):\\nKeyError: 1\\n' >&2; exit 1")

    with pytest.raises(UnrecognisedAnswerError, match="status 1: KeyError: 1"):
        run_on(SSH)


def test_a_node_that_stays_silent_costs_its_limit(stand_in: Callable[[str, str], Path]) -> None:
    stand_in("ssh", "sleep 1000")

    with pytest.raises(TimeLimitError, match="within 1 s"):
        run_on(SSH, seconds=1)


def test_output_without_end(
    stand_in: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in("ssh", "yes")
    monkeypatch.setattr(transport, "MOST_BYTES", 100_000)

    with pytest.raises(UnrecognisedAnswerError):
        run_on(SSH)


def test_no_output_reaches_a_log(
    stand_in: Callable[[str, str], Path], caplog: pytest.LogCaptureFixture
) -> None:
    stand_in("ssh", "echo a-whole-rule-set")
    caplog.set_level(logging.DEBUG)

    run_on(SSH)

    assert "a-whole-rule-set" not in caplog.text


@pytest.mark.needs("ssh")
def test_the_real_ssh_understands_its_options() -> None:
    access = AccessMethod(node="n1", uri="ssh://root@127.0.0.1:1", address="")

    with pytest.raises(VisitError, match="refuses the connection"):
        run_on(access)


def test_a_program_that_ended_itself_took_too_long(stand_in: Callable[[str, str], Path]) -> None:
    stand_in("ssh", f"exit {RAN_OUT}")

    with pytest.raises(TimeLimitError, match="hung and stopped itself"):
        run_on(SSH)
