"""Runs one command on one node by any access method: testinfra behind a small interface.

testinfra provides the quoting and the command line of each method. This module runs it with a
time limit and a size limit, and keeps its output out of logs.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import re
import shlex
import threading
from collections.abc import Callable
from typing import Any

import testinfra

from wirecheck.collect.pods.agent_manifest import CONTAINER
from wirecheck.collect.transport.bounded_process import (
    Finished,
    OutOfTimeError,
    TooMuchOutputError,
    run_bounded,
)
from wirecheck.collect.transport.control_folder import control_folder
from wirecheck.collect.transport.errors import (
    TimeLimitError,
    UnreachableError,
    UnrecognisedAnswerError,
)
from wirecheck.collect.transport.failures import output_of
from wirecheck.inventory.file import AccessMethod

MOST_BYTES = 128 << 20
"""Of both outputs together. The document in them is compressed, and seldom has 2 MiB."""
CONNECT_SECONDS = 10

# At DEBUG it would write every output, a node's whole rule set, into captured logs.
logging.getLogger("testinfra").setLevel(logging.WARNING)

_creating = threading.Lock()


def run_on(
    access: AccessMethod, command: str, *, seconds: float, called_off: threading.Event
) -> bytes:
    """Run `command`, which is a line for a POSIX shell, and return its raw output.

    Raises UnreachableError, TimeLimitError or UnrecognisedAnswerError, each a sentence;
    CalledOffError if `called_off` was set in the meantime.
    """

    def bounded(line: str, *arguments: str) -> Any:
        # These pass standard input on, which is the visit's lifeline, only if asked.
        line = re.sub(r"^(docker|podman) exec ", r"\1 exec --interactive ", line)
        if access.pod:
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
                environment=_environment(access),
            )
        )
        return backend.result(finished[0].status, b"", b"", b"")

    finished: list[Finished] = []
    with _creating:  # testinfra keeps its hosts in a dictionary without a lock
        # A copy, because a faulty inventory may use one host for two nodes at once.
        backend = copy.copy(testinfra.get_host(_place(access), **_options(access)).backend)
    backend.run_local = bounded
    backend.get_sudo_command = _sudo
    try:
        with contextlib.suppress(RuntimeError):  # ssh's exit status 255, which is handled below
            backend.run(command)
    except OutOfTimeError:
        raise TimeLimitError(
            f"{access.node} did not answer within {seconds:.0f} s by {access.uri}. "
            "Check whether it hangs; if it is only slow, raise `limits.node` in the inventory."
        ) from None
    except TooMuchOutputError:
        raise UnrecognisedAnswerError(
            f"{access.node} sent more than {MOST_BYTES >> 20} MiB by {access.uri}, "
            "which cannot be an answer of the node program. Try to connect by hand."
        ) from None
    except OSError as error:
        raise UnreachableError(
            f"No command could be started here for {access.node}: {error}."
        ) from error
    return output_of(access, finished[0])


def _place(access: AccessMethod) -> str:
    return f"kubectl://{access.pod.name}" if access.pod else access.uri


def _environment(access: AccessMethod) -> dict[str, str]:
    # BatchMode is not passed on to the client of a jump host, which would ask in a window.
    kubeconfig = (
        {"KUBECONFIG": access.pod.kubeconfig} if access.pod and access.pod.kubeconfig else {}
    )
    return {"SSH_ASKPASS_REQUIRE": "never", **kubeconfig}


def _options(access: AccessMethod) -> dict[str, Any]:
    options: dict[str, Any] = {"sudo": access.sudo}
    if access.pod:
        options |= {
            "namespace": access.pod.namespace,
            "container": CONTAINER,
            "context": access.pod.context or None,
        }
    if access.uri.startswith("ssh://"):
        options |= {
            "ssh_config": access.ssh_config,
            "ssh_identity_file": access.identity_file,
            "timeout": CONNECT_SECONDS,
            # testinfra formats its command line once more: %% is ssh's %.
            "controlpath": f"{control_folder()}/%%C",
            # If an option is given twice, ssh uses the first one.
            "ssh_extra_args": shlex.join(
                [
                    *("-T", "-o", "BatchMode=yes", "-o", "ServerAliveInterval=15"),
                    # The user's ssh configuration may set another command for the host.
                    *("-o", "RemoteCommand=none"),
                    *access.ssh_arguments,
                ]
            ),
        }
    return options


def _sudo(command: str, _user: str | None) -> str:
    """Replaces testinfra's sudo, which would wait for a password."""
    quote: Callable[..., str] = testinfra.backend.base.BaseBackend.quote
    return quote("sudo -n /bin/sh -c %s", command)
