"""What went wrong with the API, as sentences: the cause, and what to try next."""

from __future__ import annotations

import re

import msgspec
import urllib3
from msgspec import Struct

IN_CLUSTER = "in-cluster"
"""The context's name where a pod's own service account is used."""


class ApiError(Exception):
    """The API could not be read: a sentence with the cause and the next step."""


class ApiStatusError(ApiError):
    """The API server answered, but with the HTTP status `status`."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Server(Struct, frozen=True):
    """The API server that sentences speak of."""

    host: str
    context: str

    @property
    def hint(self) -> str:
        """What to type next, to see the same with kubectl."""
        if self.context == IN_CLUSTER:
            return "look at the pod's service account and at its NetworkPolicies."
        return f"try `kubectl --context {self.context} version`."


class _Status(Struct, frozen=True):
    """What the API server says when it refuses."""

    message: str = ""


def refused(server: Server, status: int, what: str, body: bytes, rule: str) -> ApiStatusError:
    """The server answered with `status`; `rule` is the RBAC rule that lets `what` be read."""
    subject = f"The API server {server.host}"
    said = message_of(body)
    match status:
        case 401:
            sentence = (
                f"{subject} does not accept the credentials of context {server.context} (401): "
                f"renew them; {server.hint}"
            )
        case 403:
            sentence = (
                f"Context {server.context} is not allowed to read {what} (403: {said}); "
                f"add to its ClusterRole: {rule or 'nonResourceURLs of ' + what}."
            )
        case 404:
            sentence = f"{subject} does not have {what} (404: {said})."
        case _ if status == 429 or status >= 500:
            sentence = (
                f"{subject} could not give {what} in several tries ({status}: {said}); "
                "look at its load and its log."
            )
        case _:
            sentence = f"{subject} answered {status} to a request for {what}: {said}."
    return ApiStatusError(sentence, status)


def unreachable(server: Server, what: str, error: Exception) -> ApiError:
    """There was no answer, or not a whole one."""
    subject = f"The API server {server.host} of context {server.context}"
    match error:
        # A refused connection is a kind of connect timeout to urllib3.
        case urllib3.exceptions.NewConnectionError():
            return ApiError(f"{subject} cannot be reached: {_cause(error)}; {server.hint}")
        case urllib3.exceptions.ConnectTimeoutError():
            return ApiError(f"{subject} cannot be reached: no answer in time; {server.hint}")
        case urllib3.exceptions.TimeoutError() | TimeoutError():
            return ApiError(f"{subject} did not finish {what} in time; {server.hint}")
        case urllib3.exceptions.SSLError():
            return ApiError(
                f"{subject} cannot be reached over TLS: {_cause(error)}; check the certificates "
                f"of its kubeconfig, or {server.hint}"
            )
        case urllib3.exceptions.ProtocolError():
            return ApiError(
                f"{subject} broke the connection off before it had sent {what}: see whether it or "
                f"a proxy before it was restarted; {server.hint}"
            )
    return ApiError(f"{subject} cannot be reached: {_cause(error)}; {server.hint}")


def not_understood(server: Server, what: str, error: Exception) -> ApiError:
    """There was an answer, but it is not what such a request is answered with."""
    return ApiError(
        f"What {server.host} sent as {what} is not understood: {error}; "
        "is this the URL of a Kubernetes API server?"
    )


def message_of(body: bytes) -> str:
    """The words of the server's Status, or the start of whatever else it sent."""
    try:
        said = msgspec.json.decode(body, type=_Status).message
    except msgspec.MsgspecError:
        said = body[:200].decode(errors="replace")
    return " ".join(said.split())[:300].rstrip(".") or "without a word"


def _cause(error: BaseException) -> str:
    """The innermost reason, without the client's object names around it."""
    words = re.sub(r" \(_ssl\.c:\d+\)", "", " ".join(str(error).split())).rpartition("): ")[2]
    return re.sub(r"\[Errno -?\d+\] ", "", words).rstrip(".") or type(error).__name__
