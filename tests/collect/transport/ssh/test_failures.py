"""Whatever keeps ssh from a node has its own sentence; all of it is said by real servers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.collect.transport.ssh.conftest import Sshd, agent, free_port, make_key, place
from wirecheck.collect.node_program import command_line
from wirecheck.collect.transport import remote_command as transport
from wirecheck.collect.transport.errors import (
    ConnectionDroppedError,
    TimeLimitError,
    UnreachableError,
    UnrecognisedAnswerError,
    VisitError,
)
from wirecheck.inventory.file import AccessMethod

PROGRAM = command_line(b"{}")
"""Fails by its empty plan, where it comes so far that it reads it."""


def run_on(access: AccessMethod, command: str = PROGRAM, seconds: float = 60) -> bytes:
    return transport.run_on(access, command, seconds=seconds, called_off=threading.Event())


def sentence(
    access: AccessMethod, kind: type[VisitError] = UnreachableError, *, seconds: float = 60
) -> str:
    with pytest.raises(kind) as raised:
        run_on(access, seconds=seconds)
    said = str(raised.value)
    assert access.node in said
    assert access.uri in said
    return said


def test_a_name_that_does_not_resolve(sshd: Sshd) -> None:
    said = sentence(sshd.access(uri="ssh://root@node.invalid"))

    assert "its name does not resolve. Give the address" in said


def test_nobody_listens(sshd: Sshd) -> None:
    said = sentence(sshd.access(uri=f"ssh://root@127.0.0.1:{free_port()}"))

    assert "it refuses the connection. Check whether its sshd runs" in said


def known(folder: Path, lines: str) -> str:
    """An ssh configuration for which these are all the keys of hosts."""
    (folder / "known").write_text(lines)
    config = folder / "config"
    config.write_text(
        f"Host *\n  UserKnownHostsFile {folder}/known\n  GlobalKnownHostsFile /dev/null\n"
    )
    return str(config)


def test_an_unknown_host_key(sshd: Sshd, tmp_path: Path) -> None:
    config = known(tmp_path, "")

    said = sentence(sshd.access(ssh_config=config))

    assert "its host key is unknown here. Compare the fingerprint" in said
    # The line is complete: it leads to the same question.
    assert said.endswith(f"ssh -v -F {config} -i {sshd.key} ssh://root@127.0.0.1:{sshd.port}")


def test_another_host_key_than_the_known_one(sshd: Sshd, tmp_path: Path) -> None:
    config = known(tmp_path, f"[127.0.0.1]:{sshd.port} {make_key(tmp_path / 'other')}")

    assert "its host key has changed. If the node was reinstalled" in sentence(
        sshd.access(ssh_config=config)
    )


def test_a_key_that_is_not_taken(sshd: Sshd, tmp_path: Path) -> None:
    make_key(tmp_path / "other")

    said = sentence(sshd.access(identity_file=str(tmp_path / "other")))

    assert "it accepts none of the keys. Set the correct user" in said


@pytest.mark.parametrize(
    "fields", [{"user": "nobody-of-that-name"}, {"identity_file": "/nowhere/key"}], ids=str
)
def test_a_user_or_key_that_does_not_exist(sshd: Sshd, fields: dict[str, str]) -> None:
    assert "it accepts none of the keys" in sentence(sshd.access(**fields))


def test_more_keys_than_the_server_takes(another_sshd: Callable[..., Sshd], tmp_path: Path) -> None:
    server = another_sshd(more="MaxAuthTries 2")
    keys = [tmp_path / f"key{number}" for number in range(4)]
    for key in keys:
        make_key(key)
    config = known(tmp_path, server.known_hosts)

    with agent(*keys):
        said = sentence(server.access(ssh_config=config, identity_file=None))

    assert "ssh offered more keys than it accepts. Name the key in `identity_file`" in said


USERS = [
    ("stranger", False, "is not root on n1, so pods and rules cannot be read. Set `sudo"),
    ("stranger", True, "sudo requires a password there, or does not know the user. Add `USER"),
    ("wants-password", True, "sudo requires a password there"),
    ("lists-only", True, "sudo does not allow the user to run /bin/sh as root. Add `USER"),
    (
        "wants-tty",
        True,
        "sudo requires a terminal there, which a visit does not have. Add `Defaults:USER",
    ),
    ("root-without-shell", False, "has no login shell there. Set `access`"),
    (
        "root-without-python",
        False,
        "python3 is not installed on it. Install Python 3.6 or later there",
    ),
    ("root-in-bash-without-python", False, "python3 is not installed on it"),
    ("root-with-old-python", False, "has a Python older than 3.6. Install a newer python3 there"),
]


@pytest.mark.parametrize(("user", "sudo", "expected"), USERS, ids=[f"{u[0]}-{u[1]}" for u in USERS])
def test_what_a_user_meets(sshd: Sshd, user: str, sudo: bool, expected: str) -> None:
    assert expected in sentence(sshd.access(user, sudo=sudo))


def test_a_host_without_sudo(sshd: Sshd) -> None:
    assert "sudo is not installed on it. Install it there" in sentence(
        sshd.access("root-without-python", sudo=True)
    )


def test_a_server_that_says_nothing_costs_the_limit_once(sshd: Sshd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        access = sshd.access(uri=f"ssh://root@127.0.0.1:{listening.getsockname()[1]}")

        assert "did not answer within 2 s" in sentence(access, TimeLimitError, seconds=2)

        listening.accept()[0].close()
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):  # a second connection
            listening.accept()


def test_a_server_that_lets_in_and_hangs_costs_the_limit(sshd: Sshd) -> None:
    access = sshd.access("root-that-hangs")

    assert "did not answer within 2 s" in sentence(access, TimeLimitError, seconds=2)


def test_a_server_that_turns_away_whoever_comes_too_many(another_sshd: Callable[..., Sshd]) -> None:
    server = another_sshd(more="MaxStartups 1")
    with place(server):
        said = sentence(server.access(), ConnectionDroppedError)

    assert "it closed the connection. Lower `limits.workers`" in said


def test_a_login_that_starts_something_else(sshd: Sshd) -> None:
    """What it prints is no document, which whoever unpacks it says."""
    assert run_on(sshd.access("root-with-a-menu")) == b"Welcome to the bastion\n"


def test_a_program_that_fails_is_not_understood(sshd: Sshd) -> None:
    assert "Try `python3 --version` there" in sentence(sshd.access(), UnrecognisedAnswerError)
