"""What the API server noted of a run's requests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass

from testbed.commands import TestbedError
from testbed.kubeadm import AUDIT_LOG
from testbed.layout import CONTROL_PLANE
from testbed.nodes import output, run

AGENT = "wirecheck/"
READING = frozenset({"get", "list", "watch"})


@dataclass(frozen=True, slots=True, order=True)
class Request:
    """A kind of request that was made."""

    verb: str
    resource: str
    user: str


def position() -> int:
    """Where the log ends now, in bytes. Raises TestbedError where there is none."""
    ended = run(CONTROL_PLANE, ["stat", "--format=%s", AUDIT_LOG])
    if ended.status:
        raise TestbedError(
            "the API server keeps no audit log: the cluster was started by an older test bed; "
            "take it down and start it again"
        )
    return int(ended.stdout)


def requests_since(start: int) -> dict[Request, int]:
    """What wirecheck has asked since the log ended at `start`, and how often."""
    text = output(CONTROL_PLANE, ["tail", "--bytes", f"+{start + 1}", AUDIT_LOG])
    return counted(text.splitlines())


def counted(lines: Iterable[str]) -> dict[Request, int]:
    """The requests in lines of an audit log that wirecheck made."""
    found: dict[Request, int] = {}
    for line in lines:
        event = json.loads(line)
        if not str(event.get("userAgent", "")).startswith(AGENT):
            continue
        reference = event.get("objectRef") or {}
        request = Request(
            event["verb"],
            reference.get("resource") or event["requestURI"].partition("?")[0],
            event["user"]["username"],
        )
        found[request] = found.get(request, 0) + 1
    return found


def objections(requests: Iterable[Request]) -> list[str]:
    """What is wrong with the requests, as sentences; a run without any proves nothing."""
    verbs = {each.verb for each in requests}
    if not verbs:
        return ["The audit log shows no request of the run: it proves nothing."]
    return [
        f"The audit log shows {each.verb} {each.resource} by {each.user}."
        for each in sorted(requests)
        if each.verb not in READING
    ]
