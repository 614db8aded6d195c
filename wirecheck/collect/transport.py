"""One command on one node, by whatever way in: testinfra behind a small interface.

testinfra brings the quoting and the command line of each way; running it with a time limit,
a bound for the output and without a log of it is done here.
"""

from __future__ import annotations

import atexit
import contextlib
import copy
import logging
import re
import shlex
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import testinfra

from wirecheck.collect.agent_manifest import CONTAINER
from wirecheck.collect.bounded_process import (
    Finished,
    OutOfTimeError,
    TooMuchOutputError,
    run_bounded,
)
from wirecheck.collect.node_program import NOT_LET_IN, OTHER_PROGRAM, TOO_OLD
from wirecheck.collect.on_node.deadline import RAN_OUT
from wirecheck.collect.on_node.visit import NOT_ROOT
from wirecheck.collect.visit_errors import NotUnderstoodError, TimeLimitError, UnreachableError
from wirecheck.inventory import WayIn

MOST_BYTES = 256 << 20
CONNECT_SECONDS = 10
CLOSING_SECONDS = 3.0
CANNOT_FIND, CANNOT_RUN = 127, 126
SSH_FAILED = 255

# At DEBUG it would write every output, a node's whole rule set, into captured logs.
logging.getLogger("testinfra").setLevel(logging.WARNING)

_creating = threading.Lock()


@dataclass(frozen=True, slots=True)
class Failure:
    """How a failure shows itself in what the way in prints, and what helps."""

    pattern: re.Pattern[str]
    cause: str
    remedy: str


def _failure(pattern: str, cause: str, remedy: str) -> Failure:
    return Failure(re.compile(pattern, re.IGNORECASE), cause, remedy)


FAILURES = (
    _failure(
        r"could not resolve hostname|name or service not known|temporary failure in name resol",
        "its name does not resolve",
        "Give the address in the inventory's `via` ({address}), or a HostName in `ssh_config`.",
    ),
    _failure(
        r"host key verification failed|remote host identification has changed",
        "its host key is unknown or has changed",
        "Check the key's fingerprint on the node, then put it into known_hosts.",
    ),
    _failure(
        r"sudo:.*must have a tty",
        "sudo wants a terminal there, and a visit has none",
        "Put `Defaults:USER !requiretty` into sudoers, or visit as root.",
    ),
    _failure(
        r"sudo:.*(password|terminal|askpass|tty)|a password is required",
        "sudo wants a password there",
        "Allow the user to run it with NOPASSWD, or visit as root.",
    ),
    _failure(
        r"sudo:.*not found|sudo:.*not in the sudoers|is not allowed to execute",
        "its user may not use sudo",
        "Allow it in sudoers, or visit as root without `sudo: true`.",
    ),
    _failure(
        r"permission denied \(|too many authentication failures|no such identity"
        r"|unprotected private key",
        "it accepts none of the keys",
        "Name the right user in `via` and the key in `identity_file`; try: ssh -v TARGET",
    ),
    _failure(
        r"connection refused",
        "it refuses the connection",
        "See whether its sshd runs, and on which port; `port` in the inventory names it.",
    ),
    _failure(
        r"connection timed out|operation timed out|no route to host|network is unreachable",
        "no answer comes from it",
        "See whether the address is right and a firewall or a jump host lies between.",
    ),
    _failure(
        r"no such container|no container with name",
        "there is no such container on this machine",
        "Correct `via` in the inventory; `docker ps` shows the names.",
    ),
    _failure(
        r"container .* is not running|container state improper|is paused",
        "its container is not running",
        "Start it, or take the node out of the cluster.",
    ),
    _failure(
        r"cannot connect to the docker daemon|permission denied while trying to connect to",
        "the Docker daemon cannot be reached",
        "See whether it runs, and whether your user may use it (`docker ps`).",
    ),
    _failure(
        r"pods? .* not found|container not found|completed pod|pod does not exist",
        "its agent pod is gone",
        "Run it again; see: kubectl get pods --namespace wirecheck",
    ),
    _failure(
        r"\(Forbidden\).*pods/exec|cannot (create|get) resource \"pods/exec\"",
        "no command may be run in its agent pod",
        'Add to a Role in the agents\' namespace: {apiGroups: [""], resources: ["pods/exec"], '
        'verbs: ["create", "get"]}',
    ),
    _failure(
        r"error dialing backend|unable to upgrade connection",
        "the API server cannot reach its kubelet",
        "See whether port 10250 of the node is open to the API server, and kubelet's certificate.",
    ),
    _failure(
        r"(docker|kubectl|podman|ssh|sshpass): (command )?not found",
        "this machine lacks the program for that way in",
        "Install it here, or choose another way in the inventory's `via`.",
    ),
    _failure(
        r"python3['\"]?: (command )?(not found|no such file)|exec:? .*python3.*not found"
        r"|line \d+: python3: ",
        "it has no python3",
        "Install Python 3.6 or later there; nothing else is needed.",
    ),
    _failure(
        r"no module named|could not find platform independent libraries",
        "its Python lacks parts of the standard library",
        "Install the full python3 package there (not python3-minimal).",
    ),
    _failure(
        r"connection (reset|closed)|kex_exchange_identification|broken pipe",
        "it closed the connection",
        "Lower `limits.workers` if many nodes do so (MaxStartups in sshd_config), else read its "
        "sshd log.",
    ),
)


def run_on(way: WayIn, command: str, *, seconds: float, called_off: threading.Event) -> bytes:
    """Run `command`, which is a line for a POSIX shell, and return its raw output.

    Raises UnreachableError, TimeLimitError or NotUnderstoodError, each a sentence;
    CalledOffError if `called_off` was set meanwhile.
    """

    def bounded(line: str, *arguments: str) -> Any:
        # These pass standard input on, which is the visit's lifeline, only if asked.
        line = re.sub(r"^(docker|podman) exec ", r"\1 exec --interactive ", line)
        if way.pod:
            # Around kubectl's options testinfra puts quotes of its own, which would become part
            # of a context's name that needs quoting.
            line = line.replace('"%s"', "%s").replace(" exec ", " exec --stdin ", 1)
        quoted = backend.quote(line, *arguments)
        finished.append(
            run_bounded(
                ["/bin/sh", "-c", quoted],
                seconds=seconds,
                most_bytes=MOST_BYTES,
                called_off=called_off,
                has_lifeline=True,
                environment=_environment(way),
            )
        )
        return backend.result(finished[0].status, b"", b"", b"")

    finished: list[Finished] = []
    with _creating:  # testinfra keeps its hosts in a dictionary without a lock
        # A copy: the same way may lead to two nodes of a careless inventory at once.
        backend = copy.copy(testinfra.get_host(_place(way), **_options(way)).backend)
    backend.run_local = bounded
    backend.get_sudo_command = _sudo
    try:
        with contextlib.suppress(RuntimeError):  # ssh's exit status 255, which is judged below
            backend.run(command)
    except OutOfTimeError:
        raise TimeLimitError(
            f"{way.node} did not answer within {seconds:.0f} s by {way.via}. See whether it hangs; "
            "if it is only slow, raise `limits.node` in the inventory."
        ) from None
    except TooMuchOutputError:
        raise NotUnderstoodError(
            f"{way.node} sent more than {MOST_BYTES >> 20} MiB by {way.via}, which is no answer "
            "of the node program. Try the way in by hand."
        ) from None
    except OSError as error:
        raise UnreachableError(
            f"No command could be started here for {way.node}: {error}."
        ) from error
    return _output(way, finished[0])


def _output(way: WayIn, result: Finished) -> bytes:
    if result.status == 0:
        return result.stdout
    said = result.stderr.decode("utf-8", "replace").strip()
    if result.status == RAN_OUT:
        raise TimeLimitError(
            f"The program on {way.node} ({way.via}) was stuck and ended itself. See whether the "
            "node hangs; if it is only slow, raise `limits.node` in the inventory."
        )
    if result.status == NOT_ROOT:
        raise UnreachableError(
            f"{way.node} was entered by {way.via}, but not as root, without which pods and rules "
            "cannot be seen. Set `sudo: true` for it in the inventory, or visit as root."
        )
    if result.status == OTHER_PROGRAM:
        raise UnreachableError(
            f"The agent on {way.node} holds another release of the node program than this one. "
            "Deploy the image of this release, and name it in the inventory's `agent.image`."
        )
    if result.status == NOT_LET_IN:
        raise UnreachableError(
            f"The agent on {way.node} may not enter the node's namespaces ({_last_line(said)}). "
            "Deploy it as in deploy/agent; where the platform demands more, `agent.privileged`."
        )
    if result.status == TOO_OLD:
        raise UnreachableError(
            f"{way.node} ({way.via}) has a Python older than 3.6. Install a newer python3 there."
        )
    for failure in FAILURES:
        if failure.pattern.search(said):
            remedy = failure.remedy.replace("TARGET", urlsplit(way.via).netloc)
            raise UnreachableError(
                f"{way.node} was not visited by {way.via}: {failure.cause}. {remedy}"
            )
    last = _last_line(said)
    if result.status in (CANNOT_FIND, CANNOT_RUN, SSH_FAILED):
        raise UnreachableError(
            f"{way.node} was not visited by {way.via}: {last}. Try the way in by hand."
        )
    raise NotUnderstoodError(
        f"The visit to {way.node} by {way.via} ended with status {result.status}: {last}. "
        "Try `python3 --version` there, by the same way in."
    )


def _last_line(said: str) -> str:
    # What kubectl adds says the status once more.
    lines = [each for each in said.splitlines() if not each.startswith("command terminated with")]
    return lines[-1][:200] if lines else "nothing was said"


def _place(way: WayIn) -> str:
    return f"kubectl://{way.pod.name}" if way.pod else way.via


def _environment(way: WayIn) -> dict[str, str]:
    return {"KUBECONFIG": way.pod.kubeconfig} if way.pod and way.pod.kubeconfig else {}


def _options(way: WayIn) -> dict[str, Any]:
    options: dict[str, Any] = {"sudo": way.sudo}
    if way.pod:
        options |= {
            "namespace": way.pod.namespace,
            "container": CONTAINER,
            "context": way.pod.context or None,
        }
    if way.via.startswith("ssh://"):
        options |= {
            "ssh_config": way.ssh_config,
            "ssh_identity_file": way.identity_file,
            "timeout": CONNECT_SECONDS,
            # testinfra formats its command line once more: %% is ssh's %.
            "controlpath": f"{_control_folder()}/%%C",
            # Of an option that is given twice ssh takes the first.
            "ssh_extra_args": shlex.join(
                ["-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15", *way.ssh_arguments]
            ),
        }
    return options


def _sudo(command: str, _user: str | None) -> str:
    """testinfra's own would wait for a password."""
    quote: Callable[..., str] = testinfra.backend.base.BaseBackend.quote
    return quote("sudo -n /bin/sh -c %s", command)


@cache
def _control_folder() -> Path:
    """Where ssh's shared connections have their sockets: private, short, gone at the end."""
    folder = Path(tempfile.mkdtemp(prefix="wirecheck-", dir="/tmp"))
    atexit.register(_close_connections, folder)
    return folder


def _close_connections(folder: Path) -> None:
    """End the connections that are still shared, all at once; ssh would within a minute."""
    closing = [
        subprocess.Popen(
            ["ssh", "-O", "exit", "-o", f"ControlPath={socket}", "node"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for socket in folder.iterdir()
    ]
    end = time.monotonic() + CLOSING_SECONDS
    for process in closing:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(max(0.0, end - time.monotonic()))
    shutil.rmtree(folder, ignore_errors=True)
