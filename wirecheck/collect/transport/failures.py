"""What a way in says when a visit fails, as one sentence with the cause and the next step."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from wirecheck.collect.node_program import NOT_LET_IN, OTHER_PROGRAM, TOO_OLD
from wirecheck.collect.on_node.deadline import RAN_OUT
from wirecheck.collect.on_node.visit import NOT_ROOT
from wirecheck.collect.transport.bounded_process import Finished
from wirecheck.collect.transport.errors import (
    NotUnderstoodError,
    TimeLimitError,
    TurnedAwayError,
    UnreachableError,
    VisitError,
)
from wirecheck.inventory.file import AccessMethod

CANNOT_FIND, CANNOT_RUN = 127, 126
SSH_FAILED = 255
MOST_SAID = 4096


@dataclass(frozen=True, slots=True)
class Ending:
    """What an exit status of the node program, or of the agent, means; and the sentence for it."""

    kind: type[VisitError]
    sentence: str


ENDINGS = {
    RAN_OUT: Ending(
        TimeLimitError,
        "The program on {node} ({via}) was stuck and ended itself. See whether the node hangs; "
        "if it is only slow, raise `limits.node` in the inventory.",
    ),
    NOT_ROOT: Ending(
        UnreachableError,
        "{node} was entered by {via}, but not as root, without which pods and rules cannot be "
        "seen. Set `sudo: true` for it in the inventory, or visit as root.",
    ),
    OTHER_PROGRAM: Ending(
        UnreachableError,
        "The agent on {node} holds another release of the node program than this one. Deploy "
        "the image of this release, and name it in the inventory's `agent.image`.",
    ),
    NOT_LET_IN: Ending(
        UnreachableError,
        "The agent on {node} may not enter the node's namespaces ({said}). Deploy it as in "
        "deploy/agent; where the platform demands more, `agent.privileged`.",
    ),
    TOO_OLD: Ending(
        UnreachableError,
        "{node} ({via}) has a Python older than 3.6. Install a newer python3 there.",
    ),
}
"""By the exit status, which says it without regard to what was printed."""


@dataclass(frozen=True, slots=True)
class Failure:
    """How a failure shows itself in what the way in prints, and what helps."""

    pattern: re.Pattern[str]
    cause: str
    remedy: str


def _failure(pattern: str, cause: str, remedy: str) -> Failure:
    return Failure(re.compile(pattern, re.IGNORECASE), cause, remedy)


# With ControlPersist, ssh hides what the jump host's client says: this is all that is seen of it.
BEHIND_A_PROXY = r"closed by UNKNOWN port 65535"
AT_THE_DOOR = re.compile(rf"(kex|ssh)_exchange_identification|{BEHIND_A_PROXY}", re.IGNORECASE)
"""Before anybody has logged in: by default sshd drops connections from the eleventh on."""

FAILURES = (
    _failure(
        r"could not resolve hostname|name or service not known|temporary failure in name resol",
        "its name does not resolve",
        "Give the address in the inventory's `access` ({address}), or a HostName in `ssh_config`.",
    ),
    _failure(
        r"remote host identification has changed",
        "its host key has changed",
        "If the node was installed anew, replace its key in known_hosts (ssh-keygen -R); else "
        "somebody may stand between.",
    ),
    _failure(
        r"host key verification failed",
        "its host key is unknown here",
        "Compare the fingerprint with the one on the node, then put the key into known_hosts: "
        "BY_HAND",
    ),
    _failure(
        r"sudo:.*must have a tty",
        "sudo wants a terminal there, and a visit has none",
        "Put `Defaults:USER !requiretty` into sudoers, or visit as root.",
    ),
    # Whom it does not know at all, sudo asks for a password too.
    _failure(
        r"sudo:.*(password|terminal|askpass|tty)|a password is required",
        "sudo wants a password there, or does not know the user",
        "Put `USER ALL=(root) NOPASSWD: ALL` into sudoers, or visit as root.",
    ),
    _failure(
        r"sudo:.*not found",
        "it has no sudo",
        "Install it there, or visit as root without `sudo: true`.",
    ),
    _failure(
        r"sudo:.*not in the sudoers|is not allowed to (execute|run)",
        "sudo does not allow its user to run /bin/sh as root",
        "Put `USER ALL=(root) NOPASSWD: ALL` into sudoers, or visit as root.",
    ),
    _failure(
        r"this account is (currently )?not available",
        "its user has no shell there",
        "Name one in `access` who may log in.",
    ),
    _failure(
        r"too many authentication failures",
        "more keys were offered than it takes",
        "Name the key in `identity_file`, and put `IdentitiesOnly yes` into the ssh configuration.",
    ),
    _failure(
        r"permission denied \(|no such identity|unprotected private key",
        "it accepts none of the keys",
        "Name the right user in `access` and the key in `identity_file`; try: BY_HAND",
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
        "Correct `access` in the inventory; `PROGRAM ps` shows the names.",
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
        "Install it here, or choose another way in the inventory's `access`.",
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
        BEHIND_A_PROXY,
        "nobody lets the connection through on the way to it",
        "This shows whether the jump host or the node does not: BY_HAND",
    ),
    _failure(
        r"connection (reset|closed)|kex_exchange_identification|broken pipe",
        "it closed the connection",
        "Lower `limits.workers` if many nodes do so (MaxStartups in sshd_config), else read its "
        "sshd log.",
    ),
)


def output_of(access: AccessMethod, result: Finished) -> bytes:
    """What the command printed; raises VisitError where it did not end well."""
    if result.status == 0:
        return result.stdout
    # nologin and some container runtimes complain on standard output.
    said = (result.stderr.strip() or result.stdout[:MOST_SAID]).decode("utf-8", "replace").strip()
    if ending := ENDINGS.get(result.status):
        sentence = ending.sentence.format(node=access.node, via=access.uri, said=_last_line(said))
        raise ending.kind(sentence)
    for failure in FAILURES:
        if failure.pattern.search(said):
            program = access.uri.partition(":")[0]
            remedy = failure.remedy.replace("BY_HAND", _by_hand(access)).replace("PROGRAM", program)
            kind = TurnedAwayError if AT_THE_DOOR.search(said) else UnreachableError
            raise kind(f"{access.node} was not visited by {access.uri}: {failure.cause}. {remedy}")
    last = _last_line(said)
    if result.status in (CANNOT_FIND, CANNOT_RUN, SSH_FAILED):
        raise UnreachableError(
            f"{access.node} was not visited by {access.uri}: {last}. Try the way in by hand."
        )
    raise NotUnderstoodError(
        f"The visit to {access.node} by {access.uri} ended with status {result.status}: {last}. "
        "Try `python3 --version` there, by the same way in."
    )


def _by_hand(access: AccessMethod) -> str:
    """The same connection for somebody who looks at it; ssh takes URLs since its release 7.7."""
    words = ["ssh", "-v", *access.ssh_arguments]
    words += ["-F", access.ssh_config] if access.ssh_config else []
    words += ["-i", access.identity_file] if access.identity_file else []
    return shlex.join([*words, access.uri])


def _last_line(said: str) -> str:
    # What kubectl adds says the status once more.
    lines = [each for each in said.splitlines() if not each.startswith("command terminated with")]
    return lines[-1][:200] if lines else "nothing was said"
