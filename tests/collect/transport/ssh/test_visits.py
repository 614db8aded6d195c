"""Complete visits by ssh: the real program over real servers, with every kind of access."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.collect.this_machine import document, visited
from tests.collect.transport.ssh.conftest import Sshd, agent
from tests.needs import python
from wirecheck.inventory.file import AccessMethod

LOGGED_IN = "Accepted publickey for"


@pytest.mark.parametrize(
    ("user", "sudo"), [("root", False), ("sudoer", True), ("in-pty", True)], ids=str
)
def test_as_root_and_by_sudo(sshd: Sshd, user: str, sudo: bool) -> None:
    assert document(sshd.access(user, sudo=sudo)).namespaces[0].links


def test_the_second_visit_goes_by_the_connection_of_the_first(
    another_sshd: Callable[..., Sshd], connections: Path
) -> None:
    server = another_sshd()

    assert document(server.access())
    assert len(list(connections.iterdir())) == 1
    assert document(server.access())

    assert server.log.count(LOGGED_IN) == 1


def test_a_key_that_the_agent_holds(sshd: Sshd, tmp_path: Path) -> None:
    config = ssh_config(tmp_path, sshd)

    with agent(Path(sshd.key)):
        assert document(sshd.access(identity_file=None, ssh_config=config))


def test_a_command_in_somebodys_own_configuration(sshd: Sshd, tmp_path: Path) -> None:
    config = ssh_config(tmp_path, sshd, "  RemoteCommand top\n  RequestTTY force\n")

    assert document(sshd.access(ssh_config=config))


@pytest.mark.parametrize("version", ["3.6", "3.8", "3.10", "3.12"])
def test_a_node_with_another_python(another_sshd: Callable[..., Sshd], version: str) -> None:
    folder = python(version).parent

    # sshd takes the first of several.
    seen = document(another_sshd(more=f"SetEnv PATH={folder}:/usr/sbin:/usr/bin:/bin").access())

    assert seen.namespaces[0].links
    assert seen.namespaces[0].addresses


@pytest.mark.needs("setpriv")
def test_root_that_may_not_enter_other_namespaces(another_sshd: Callable[..., Sshd]) -> None:
    """As in a container; what can be seen is, and the rest names what it lacks."""
    server = another_sshd(before=("setpriv", "--bounding-set=-sys_admin", "--inh-caps=-all"))
    with a_netns() as inode:
        seen = document(server.access())

    (other,) = [each for each in seen.namespaces if each.inode == inode]
    assert "Operation not permitted" in other.error
    assert "CAP_SYS_ADMIN" in other.error
    assert seen.namespaces[0].links


@contextmanager
def a_netns() -> Iterator[int]:
    """A process in a netns of its own; yields the netns' inode."""
    here = Path("/proc/self/ns/net").stat().st_ino
    with subprocess.Popen(["unshare", "--net", "sleep", "1000"]) as process:
        try:
            netns = Path(f"/proc/{process.pid}/ns/net")
            end = time.monotonic() + 30
            while netns.stat().st_ino == here:
                assert time.monotonic() < end
                time.sleep(0.02)
            yield netns.stat().st_ino
        finally:
            process.kill()


def ssh_config(folder: Path, server: Sshd, more: str = "", *, of_more: Sshd | None = None) -> str:
    """Knows the keys of one or two servers, and has further lines for every host."""
    lines = server.known_hosts + (of_more.known_hosts if of_more else "")
    (folder / "known").write_text(lines)
    config = folder / "config"
    config.write_text(
        f"Host *\n  UserKnownHostsFile {folder}/known\n  GlobalKnownHostsFile /dev/null\n{more}"
    )
    return str(config)


@pytest.fixture
def behind(another_sshd: Callable[..., Sshd], tmp_path: Path) -> Callable[..., Behind]:
    """Make a node behind a jump host."""

    def make(*, user: str = "root", knows: bool = True, more: str = "") -> Behind:
        jump, node = another_sshd(more=more), another_sshd()
        config = tmp_path / "through"
        text = Path(ssh_config(tmp_path, node, of_more=jump if knows else None)).read_text()
        config.write_text(
            f"Match originalhost behind*\n  HostName 127.0.0.1\n"
            f"  ProxyJump {user}@127.0.0.1:{jump.port}\n  IdentityFile {node.key}\n"
            f"Match all\n  IdentityFile {jump.key}\n{text}"
        )
        return Behind(jump, node, str(config))

    return make


class Behind(msgspec.Struct):
    """A node, the jump host that leads to it, and the configuration that says so."""

    jump: Sshd
    node: Sshd
    config: str

    def access(self, number: int = 1) -> AccessMethod:
        uri = f"ssh://root@behind{number}:{self.node.port}"
        return self.node.access(uri=uri, ssh_config=self.config, identity_file=None)


def test_a_jump_host(behind: Callable[..., Behind]) -> None:
    there = behind()

    assert document(there.access())

    assert there.jump.log.count(LOGGED_IN) == 1
    assert there.node.log.count(LOGGED_IN) == 1


@pytest.mark.parametrize("fault", [{"user": "nobody-of-that-name"}, {"knows": False}], ids=str)
def test_a_jump_host_that_lets_nobody_through(
    behind: Callable[..., Behind],
    fault: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("wirecheck.collect.visit.AGAIN", (0.1,))
    asked = tmp_path / "asked"
    window = tmp_path / "window"
    window.write_text(f"#!/bin/sh\necho $* >> {asked}\nexit 1\n")
    window.chmod(0o755)
    monkeypatch.setenv("SSH_ASKPASS", str(window))
    monkeypatch.setenv("DISPLAY", ":0")
    there = behind(**fault)

    ((record, found),) = visited(there.access())

    assert not found
    assert "a host on the way to it closed the connection. To see" in record.reason
    assert f"ssh -v -F {there.config} ssh://root@behind1" in record.reason
    assert not asked.exists()
    assert LOGGED_IN not in there.node.log


def test_many_visits_through_a_jump_host_that_takes_few_at_once(
    behind: Callable[..., Behind],
) -> None:
    there = behind(more="MaxStartups 2")

    found = visited(*map(there.access, range(8)))

    assert [record.reason for record, document in found if not document] == []
    assert "past MaxStartups" in there.jump.log
