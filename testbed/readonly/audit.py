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
KUBECTL = "kubectl/"
"""By which a run enters agent pods."""
READING = frozenset({"get", "list", "watch"})
ENTERING = frozenset({("create", "pods/exec"), ("get", "pods/exec"), ("get", "pods")})
"""What kubectl asks for to run a command in a pod."""


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


def requests_since(start: int, *, by_kubectl: bool = False) -> dict[Request, int]:
    """What wirecheck, and its kubectl, has asked since the log ended at `start`; how often."""
    text = output(CONTROL_PLANE, ["tail", "--bytes", f"+{start + 1}", AUDIT_LOG])
    return counted(text.splitlines(), by_kubectl=by_kubectl)


def counted(lines: Iterable[str], *, by_kubectl: bool = False) -> dict[Request, int]:
    """The requests in lines of an audit log that wirecheck, and any kubectl, made."""
    agents = (AGENT, KUBECTL) if by_kubectl else (AGENT,)
    found: dict[Request, int] = {}
    for line in lines:
        event = json.loads(line)
        if not str(event.get("userAgent", "")).startswith(agents):
            continue
        reference = event.get("objectRef") or {}
        parts = filter(None, (reference.get("resource"), reference.get("subresource")))
        resource = "/".join(parts) or event["requestURI"].partition("?")[0]
        request = Request(event["verb"], resource, event["user"]["username"])
        found[request] = found.get(request, 0) + 1
    return found


def objections(requests: Iterable[Request], *, enters_pods: bool = False) -> list[str]:
    """What is wrong with the requests, as sentences; a run without any proves nothing.

    `enters_pods`: with agent pods it must run commands in them, which is not reading.
    """
    asked = {(each.verb, each.resource) for each in requests}
    if not asked:
        return ["The audit log shows no request of the run: it proves nothing."]
    if enters_pods and not any(resource == "pods/exec" for _, resource in asked):
        return ["The audit log shows no command in a pod: the agents were not used."]
    allowed = ENTERING if enters_pods else frozenset()
    return [
        f"The audit log shows {each.verb} {each.resource} by {each.user}."
        for each in sorted(requests)
        if (each.verb, each.resource) not in allowed
        and (each.verb not in READING or each.resource == "pods/exec")
    ]
