"""An OpenSSH server of the tests' own, on the loopback device, with users of its own.

It runs in a mount namespace where /etc/passwd, /etc/shadow and sudo's rules are the tests' and
/run is empty: nothing of the machine is changed, and no service of the system is needed.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.needs import find, lacking, need
from wirecheck.collect.transport import remote_command as transport
from wirecheck.collect.transport.control_folder import close_connections
from wirecheck.inventory.file import AccessMethod

USERS = {
    "sudoer": "ALL=(root) NOPASSWD: ALL",
    "in-pty": "ALL=(root) NOPASSWD: ALL",
    "wants-tty": "ALL=(root) NOPASSWD: ALL",
    "wants-password": "ALL=(root) ALL",
    "lists-only": "ALL=(root) /bin/ls",
    "stranger": "",
}
"""Users without rights of their own, and what sudo lets each do."""
SUDO_DEFAULTS = """\
Defaults secure_path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
Defaults lecture=never, !mailerpath
Defaults:wants-tty requiretty
Defaults:lists-only !authenticate
Defaults:in-pty use_pty
"""
# Names for uid 0, so that each can have an environment of its own.
ROOTS = {
    "root-without-python": "/bin/sh",
    "root-in-bash-without-python": "/bin/bash",
    "root-with-old-python": "/bin/sh",
    "root-that-hangs": "/bin/sh",
    "root-with-a-menu": "/bin/sh",
    "root-without-shell": "/usr/sbin/nologin",
}
CONFIGURATION = """\
ListenAddress 127.0.0.1
PidFile none
HostKey {folder}/host_key
AuthorizedKeysFile /run/tests/key.pub
StrictModes no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
LogLevel VERBOSE
SetEnv PATH={path}
{more}
Match User root-without-python,root-in-bash-without-python
  SetEnv PATH=/nowhere
Match User root-with-old-python
  SetEnv PATH=/run/tests/old
Match User root-that-hangs
  ForceCommand sleep 1000
Match User root-with-a-menu
  ForceCommand echo Welcome to the bastion
"""
# What Python 3.5 would say of itself, by the Python that there is.
OLD_PYTHON = """\
#!/bin/sh
exec {python} -I -S -c 'import sys
del sys.argv[0]
while sys.argv[0] != "-c": del sys.argv[0]
code = sys.argv.pop(1)
sys.version_info = (3, 5, 3, "final", 0)
exec(code)' "$@"
"""
# Mounted over in the server's own namespace alone.
START = """\
set -e
mount --bind {folder}/passwd /etc/passwd
mount --bind {folder}/shadow /etc/shadow
if [ -e /etc/sudoers ]; then
  mount --bind {folder}/sudoers /etc/sudoers
fi
mount -t tmpfs -o mode=755 none /run
mkdir -m 755 /run/sshd /run/tests
mount --bind {folder} /run/tests
exec "$@"
"""


@dataclass(frozen=True)
class Sshd:
    """A server that answers, and what a client needs to get in."""

    folder: Path
    port: int

    @property
    def ssh_config(self) -> str:
        """Knows the server's key, and no other."""
        return str(self.folder / "ssh_config")

    @property
    def key(self) -> str:
        """The private key that the server takes."""
        return str(self.folder / "key")

    @property
    def known_hosts(self) -> str:
        """The server's own key, as a line of such a file."""
        return (self.folder / "known_hosts").read_text()

    @property
    def log(self) -> str:
        """What the server says of its connections."""
        return (self.folder / "log").read_text("utf-8", "replace")

    def access(self, user: str = "root", **changes: object) -> AccessMethod:
        """The access method of this user."""
        fields = {
            "node": "n1",
            "uri": f"ssh://{user}@127.0.0.1:{self.port}",
            "address": "127.0.0.1",
            "ssh_config": self.ssh_config,
            "identity_file": self.key,
            **changes,
        }
        return AccessMethod(**fields)  # type: ignore[arg-type]


@contextmanager
def started(folder: Path, *, more: str = "", before: tuple[str, ...] = ()) -> Iterator[Sshd]:
    """A server with its keys in `folder`; `before` are words to put before its command line."""
    server = Sshd(folder, free_port())
    _write_keys(server)
    _write_users(folder)
    (folder / "sshd_config").write_text(
        CONFIGURATION.format(folder=folder, path=os.environ["PATH"], more=more)
    )
    command = [str(find("sshd")), "-D", "-e", "-f", f"{folder}/sshd_config", "-p", str(server.port)]
    inside = ["/bin/sh", "-c", START.format(folder=folder), "sh", *before, *command]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            ["unshare", "--mount", "--propagation", "private", *inside],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for_banner(server, process)
        yield server
    finally:
        process.terminate()
        process.wait(30)


def free_port() -> int:
    """A port where nobody listened just now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def make_key(file: Path) -> str:
    """A new key pair; returns the public half."""
    file.unlink(missing_ok=True)
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(file)]
    subprocess.run(words, check=True, timeout=60)
    return file.with_suffix(".pub").read_text()


def _write_keys(server: Sshd) -> None:
    folder = server.folder
    folder.chmod(0o755)  # sshd reads the public key as the user who comes
    make_key(folder / "key")
    host = make_key(folder / "host_key")
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {host}")
    (folder / "ssh_config").write_text(
        f"Host *\n  UserKnownHostsFile {folder}/known_hosts\n  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n  IdentitiesOnly yes\n"
    )


def _write_users(folder: Path) -> None:
    numbered = {name: 60_001 + number for number, name in enumerate(USERS)}
    lines = [f"{name}:x:{uid}:{uid}::/:/bin/sh" for name, uid in numbered.items()]
    lines += [f"{name}:x:0:0::/:{shell}" for name, shell in ROOTS.items()]
    # root comes first: the name that the kernel's number 0 stands for.
    (folder / "passwd").write_text("\n".join([*_lines("/etc/passwd"), *lines, ""]))
    secrets = [f"{name}:*:20000::::::" for name in (*USERS, *ROOTS)]
    (folder / "shadow").write_text("\n".join([*_lines("/etc/shadow"), *secrets, ""]))
    (folder / "shadow").chmod(0o600)
    rules = [f"{name} {rule}" for name, rule in USERS.items() if rule]
    (folder / "sudoers").write_text(SUDO_DEFAULTS + "\n".join([*rules, ""]))
    (folder / "sudoers").chmod(0o440)
    old = folder / "old/python3"
    old.parent.mkdir()
    old.write_text(OLD_PYTHON.format(python=shutil.which("python3", path="/usr/bin:/bin")))
    old.chmod(0o755)


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines()


def _wait_for_banner(server: Sshd, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end and process.poll() is None:
        try:
            place(server).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError(f"sshd did not start: {server.log}")


def place(server: Sshd) -> socket.socket:
    """A connection that the server waits for, and counts, because nobody logs in by it."""
    while True:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        if connection.recv(4) == b"SSH-":
            return connection
        connection.close()  # the one before it is still counted


@pytest.fixture(autouse=True)
def connections(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Connections are shared within a test alone; this is the folder of their sockets."""
    # Below pytest's own folders the path would be too long for a socket.
    folder = Path(tempfile.mkdtemp(prefix="wirecheck-test-", dir="/tmp"))
    monkeypatch.setattr(transport, "control_folder", lambda: folder)
    yield folder
    close_connections(folder)


@pytest.fixture(scope="session")
def can_serve() -> None:
    """Skips where no server can be started."""
    need("root", "mount", "ssh", "sshd", "sudo", "unshare", "/usr/bin/python3")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True, check=False).returncode:
        lacking("mount", "and no mount namespace can be made here")


@pytest.fixture(scope="session")
def sshd(can_serve: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """One server for all tests that want nothing particular of it."""
    with started(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture
def another_sshd(can_serve: None, tmp_path: Path) -> Iterator[Callable[..., Sshd]]:
    """Start further servers, each with a folder, a key and a log of its own."""
    with ExitStack() as stack:

        def start(**choice: object) -> Sshd:
            folder = tmp_path / f"sshd-{free_port()}"
            folder.mkdir()
            return stack.enter_context(started(folder, **choice))  # type: ignore[arg-type]

        yield start


@contextmanager
def agent(*keys: Path) -> Iterator[None]:
    """An ssh agent that holds these keys, for what is started meanwhile."""
    folder = Path(tempfile.mkdtemp(prefix="wirecheck-test-", dir="/tmp"))
    words = ["ssh-agent", "-D", "-a", str(folder / "agent")]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSH_AUTH_SOCK", str(folder / "agent"))
        end = time.monotonic() + 30
        while not (folder / "agent").exists():
            assert time.monotonic() < end
            time.sleep(0.02)
        subprocess.run(["ssh-add", "-q", *map(str, keys)], check=True, timeout=60)
        try:
            yield
        finally:
            process.terminate()
            process.wait(30)
            shutil.rmtree(folder)
