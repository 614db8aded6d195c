"""Turns the output of a failed visit into one sentence with its cause and the next step."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from wirecheck.collect.node_program import NOT_LET_IN, OTHER_PROGRAM, TOO_OLD
from wirecheck.collect.on_node.deadline import RAN_OUT
from wirecheck.collect.on_node.visit import NOT_ROOT
from wirecheck.collect.transport.bounded_process import Finished
from wirecheck.collect.transport.errors import (
    ConnectionDroppedError,
    TimeLimitError,
    UnreachableError,
    UnrecognisedAnswerError,
    VisitError,
)
from wirecheck.inventory.file import AccessMethod

CANNOT_FIND, CANNOT_RUN = 127, 126
SSH_FAILED = 255
MOST_SAID = 4096
"""Bytes of an output that are searched for the cause."""


@dataclass(frozen=True, slots=True)
class Ending:
    """The error for an exit status of the node program or of the agent."""

    kind: type[VisitError]
    sentence: str


ENDINGS = {
    RAN_OUT: Ending(
        TimeLimitError,
        "The node program on {node} ({via}) hung and stopped itself. Check whether the node hangs; "
        "if it is only slow, raise `limits.node` in the inventory.",
    ),
    NOT_ROOT: Ending(
        UnreachableError,
        "The user of {via} is not root on {node}, so pods and rules cannot be read. Set "
        "`sudo: true` for the node in the inventory, or connect as root.",
    ),
    OTHER_PROGRAM: Ending(
        UnreachableError,
        "The agent on {node} has the node program of another release. Deploy the image of this "
        "release, and set `agent.image` in the inventory to it.",
    ),
    NOT_LET_IN: Ending(
        UnreachableError,
        "The agent on {node} is not allowed to enter the node's namespaces ({said}). Deploy it as "
        "in deploy/agent; if the platform requires more, set `agent.privileged`.",
    ),
    TOO_OLD: Ending(
        UnreachableError,
        "{node} ({via}) has a Python older than 3.6. Install a newer python3 there.",
    ),
}
"""By exit status, whatever the command printed."""


GAP = "…"
"""In a pattern: anything within the line. Unlike `.*` it is never searched for twice."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure that is recognised by what the transport prints, with its remedy."""

    patterns: tuple[tuple[re.Pattern[str], ...], ...]
    """Alternatives. The parts of each occur in this order in one line."""
    cause: str
    remedy: str

    def is_in(self, said: str) -> bool:
        """Whether one of its patterns is in a line of the output."""
        return any(
            _has_in_order(line, parts) for line in said.splitlines() for parts in self.patterns
        )


def _has_in_order(line: str, parts: tuple[re.Pattern[str], ...]) -> bool:
    """Whether each part occurs behind the one before it: each is searched for once."""
    at = 0
    for part in parts:
        found = part.search(line, at)
        if not found:
            return False
        at = found.end()
    return True


def _failure(patterns: str | tuple[str, ...], cause: str, remedy: str) -> Failure:
    alternatives = (patterns,) if isinstance(patterns, str) else patterns
    compiled = tuple(
        tuple(re.compile(part, re.IGNORECASE) for part in each.split(GAP)) for each in alternatives
    )
    return Failure(compiled, cause, remedy)


# With ControlPersist, ssh hides the output of the jump host's client and prints only this.
BEHIND_A_PROXY = r"closed by UNKNOWN port 65535"
BEFORE_LOGIN = re.compile(rf"(kex|ssh)_exchange_identification|{BEHIND_A_PROXY}", re.IGNORECASE)
"""Closed before the login: by default sshd starts to drop connections at the eleventh."""

FAILURES = (
    _failure(
        r"could not resolve hostname|name or service not known|temporary failure in name resol",
        "its name does not resolve",
        "Give the address in the inventory's `access` ({address}), or a HostName in `ssh_config`.",
    ),
    _failure(
        r"remote host identification has changed",
        "its host key has changed",
        "If the node was reinstalled, replace its key in known_hosts (ssh-keygen -R); otherwise "
        "this may be a man-in-the-middle attack.",
    ),
    _failure(
        r"host key verification failed",
        "its host key is unknown here",
        "Compare the fingerprint with the one on the node, then add the key to known_hosts: "
        "BY_HAND",
    ),
    _failure(
        r"sudo:…must have a tty",
        "sudo requires a terminal there, which a visit does not have",
        "Add `Defaults:USER !requiretty` to sudoers, or connect as root.",
    ),
    # sudo also asks unknown users for a password.
    _failure(
        (r"sudo:…(password|terminal|askpass|tty)", r"a password is required"),
        "sudo requires a password there, or does not know the user",
        "Add `USER ALL=(root) NOPASSWD: ALL` to sudoers, or connect as root.",
    ),
    _failure(
        r"sudo:…not found",
        "sudo is not installed on it",
        "Install it there, or connect as root without `sudo: true`.",
    ),
    _failure(
        (r"sudo:…not in the sudoers", r"is not allowed to (execute|run)"),
        "sudo does not allow the user to run /bin/sh as root",
        "Add `USER ALL=(root) NOPASSWD: ALL` to sudoers, or connect as root.",
    ),
    _failure(
        r"this account is (currently )?not available",
        "the user has no login shell there",
        "Set `access` to a user who can log in.",
    ),
    _failure(
        r"too many authentication failures",
        "ssh offered more keys than it accepts",
        "Name the key in `identity_file`, and set `IdentitiesOnly yes` in the ssh configuration.",
    ),
    _failure(
        r"permission denied \(|no such identity|unprotected private key",
        "it accepts none of the keys",
        "Set the correct user in `access` and the key in `identity_file`; try: BY_HAND",
    ),
    _failure(
        r"connection refused",
        "it refuses the connection",
        "Check whether its sshd runs, and on which port; `port` in the inventory sets it.",
    ),
    _failure(
        r"connection timed out|operation timed out|no route to host|network is unreachable",
        "it does not answer",
        "Check the address, and whether a firewall or a jump host is in between.",
    ),
    _failure(
        r"no such container|no container with name",
        "there is no such container on this machine",
        "Correct `access` in the inventory; `PROGRAM ps` shows the names.",
    ),
    _failure(
        (r"container … is not running", r"container state improper|is paused"),
        "its container is not running",
        "Start it, or take the node out of the cluster.",
    ),
    _failure(
        r"cannot connect to the docker daemon|permission denied while trying to connect to",
        "the Docker daemon cannot be reached",
        "Check whether it runs, and whether your user may use it (`docker ps`).",
    ),
    _failure(
        (r"pods? … not found", r"container not found|completed pod|pod does not exist"),
        "its agent pod no longer exists",
        "Run again; see: kubectl get pods --namespace wirecheck",
    ),
    _failure(
        (r"\(Forbidden\)…pods/exec", r"cannot (create|get) resource \"pods/exec\""),
        "you are not allowed to run commands in its agent pod",
        'Add to a Role in the agents\' namespace: {apiGroups: [""], resources: ["pods/exec"], '
        'verbs: ["create", "get"]}',
    ),
    _failure(
        r"error dialing backend|unable to upgrade connection",
        "the API server cannot reach its kubelet",
        "Check that the API server can connect to port 10250 of the node, and the kubelet's "
        "certificate.",
    ),
    _failure(
        r"(docker|kubectl|podman|ssh|sshpass): (command )?not found",
        "this machine lacks the program for that access method",
        "Install it here, or set another access method as `access` in the inventory.",
    ),
    _failure(
        (
            r"python3['\"]?: (command )?(not found|no such file)|line \d+: python3: ",
            r"exec:? …python3…not found",
        ),
        "python3 is not installed on it",
        "Install Python 3.6 or later there; nothing else is required.",
    ),
    _failure(
        r"no module named|could not find platform independent libraries",
        "its Python lacks parts of the standard library",
        "Install the full python3 package there (not python3-minimal).",
    ),
    _failure(
        BEHIND_A_PROXY,
        "a host on the way to it closed the connection",
        "To see whether it is the jump host or the node: BY_HAND",
    ),
    _failure(
        r"connection (reset|closed)|kex_exchange_identification|broken pipe",
        "it closed the connection",
        "Lower `limits.workers` if many nodes do so (MaxStartups in sshd_config); otherwise read "
        "its sshd log.",
    ),
)


def output_of(access: AccessMethod, result: Finished) -> bytes:
    """The output of the command. Raises VisitError if the command failed."""
    if result.status == 0:
        return result.stdout
    # nologin and some container runtimes print errors on standard output.
    said = _both_ends(result.stderr.strip() or result.stdout[:MOST_SAID]).strip()
    if ending := ENDINGS.get(result.status):
        sentence = ending.sentence.format(node=access.node, via=access.uri, said=_last_line(said))
        raise ending.kind(sentence)
    for failure in FAILURES:
        if failure.is_in(said):
            program = access.uri.partition(":")[0]
            remedy = failure.remedy.replace("BY_HAND", _by_hand(access)).replace("PROGRAM", program)
            kind = ConnectionDroppedError if BEFORE_LOGIN.search(said) else UnreachableError
            raise kind(f"{access.node} was not visited by {access.uri}: {failure.cause}. {remedy}")
    last = _last_line(said)
    if result.status in (CANNOT_FIND, CANNOT_RUN, SSH_FAILED):
        raise UnreachableError(
            f"{access.node} was not visited by {access.uri}: {last}. Try to connect by hand."
        )
    raise UnrecognisedAnswerError(
        f"The visit to {access.node} by {access.uri} ended with status {result.status}: {last}. "
        "Try `python3 --version` there, with the same access method."
    )


def _both_ends(output: bytes) -> str:
    """What a failed command printed; of a long output its beginning and its end.

    A greeting comes first, and the reason for the failure last.
    """
    if len(output) > MOST_SAID:
        output = output[: MOST_SAID // 2] + b"\n" + output[-MOST_SAID // 2 :]
    return output.decode("utf-8", "replace")


def _by_hand(access: AccessMethod) -> str:
    """The same connection as a verbose command to try; ssh accepts URLs since release 7.7."""
    words = ["ssh", "-v", *access.ssh_arguments]
    words += ["-F", access.ssh_config] if access.ssh_config else []
    words += ["-i", access.identity_file] if access.identity_file else []
    return shlex.join([*words, access.uri])


def _last_line(said: str) -> str:
    # kubectl repeats the status in a line of its own.
    lines = [each for each in said.splitlines() if not each.startswith("command terminated with")]
    return lines[-1][:200] if lines else "no output"
