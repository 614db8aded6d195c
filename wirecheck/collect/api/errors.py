"""The errors of the API. Each message has the cause and the next step."""

from __future__ import annotations

import re
import shlex

import msgspec
import urllib3
from msgspec import Struct

from wirecheck.snapshot.in_cluster import IN_CLUSTER
from wirecheck.text import shortened


class ApiError(Exception):
    """The API could not be read. The message has the cause and the next step."""


class ConfigurationError(ApiError):
    """The kubeconfig or its context cannot be used; no server was asked."""


class UnrecognisedError(ApiError):
    """The server sent something other than what was expected."""


class ApiStatusError(ApiError):
    """The API server answered with the HTTP status `status`."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class Server(Struct, frozen=True):
    """The API server that messages are about."""

    host: str
    context: str
    kubeconfig: str = ""
    """The kubeconfig that the user named; empty if kubectl uses the same one by default."""

    @property
    def hint(self) -> str:
        """The command that shows the same error with kubectl."""
        if self.context == IN_CLUSTER:
            return "check the pod's service account and its NetworkPolicies."
        named = ["--kubeconfig", self.kubeconfig] if self.kubeconfig else []
        return f"try `{shlex.join(['kubectl', *named, '--context', self.context, 'version'])}`."


class _Status(Struct, frozen=True):
    """The body of an error response of the API server."""

    message: str = ""


def refused(server: Server, status: int, what: str, body: bytes, rule: str) -> ApiStatusError:
    """The error for a response with `status`; `rule` is the RBAC rule that allows `what`."""
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
                f"{subject} did not return {what} in several attempts ({status}: {said}); "
                "check its load and its log."
            )
        case _:
            sentence = f"{subject} answered {status} to a request for {what}: {said}."
    return ApiStatusError(sentence, status)


def unreachable(server: Server, what: str, error: Exception) -> ApiError:
    """The error for a request without a complete response."""
    subject = f"The API server {server.host} of context {server.context}"
    match error:
        # In urllib3 a refused connection is a subclass of a connect timeout.
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
                f"{subject} closed the connection before it had sent {what}: check whether it or "
                f"a proxy in front of it was restarted; {server.hint}"
            )
    return ApiError(f"{subject} cannot be reached: {_cause(error)}; {server.hint}")


def too_large(server: Server, what: str, most: int) -> ApiError:
    """The error for a response that is larger than any cluster's."""
    return ApiError(
        f"The API server {server.host} of context {server.context} sent more than "
        f"{most >> 20} MiB for {what}; {server.hint}"
    )


def not_understood(server: Server, what: str, error: Exception) -> UnrecognisedError:
    """The error for a response that cannot be decoded."""
    return UnrecognisedError(
        f"The response of {server.host} for {what} is unrecognised: {shortened(str(error), 300)}; "
        "is this the URL of a Kubernetes API server?"
    )


def message_of(body: bytes) -> str:
    """The message of the server's Status, or the beginning of the body."""
    try:
        said = msgspec.json.decode(body, type=_Status).message
    except msgspec.MsgspecError:
        said = body[:200].decode(errors="replace")
    return " ".join(said.split())[:300].rstrip(".") or "no message"


def _cause(error: BaseException) -> str:
    """The innermost cause, without the names of the client's objects."""
    words = re.sub(r" \(_ssl\.c:\d+\)", "", " ".join(str(error).split())).rpartition("): ")[2]
    return re.sub(r"\[Errno -?\d+\] ", "", words).rstrip(".") or type(error).__name__
