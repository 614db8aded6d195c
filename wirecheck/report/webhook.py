"""Sends a message to a chat or an alerting system: one POST with a time limit.

The URL is a secret, so no error quotes it.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from wirecheck.report import message, slack, teams
from wirecheck.report.format import DeliveryError, Destination

SECONDS = 10.0
INVALID = "invalid URL; it must begin with https://"


@dataclass(frozen=True, slots=True)
class Chat:
    """A kind of chat, by the name of its format."""

    name: str
    variable: str
    """The environment variable with the URL."""
    body: Callable[[str, str], str]
    """Makes the document to post from the text and the place of the run's page."""


_ALL = (
    Chat("webhook", "WIRECHECK_WEBHOOK_URL", message.body),
    Chat("slack", "WIRECHECK_SLACK_URL", slack.body),
    Chat("teams", "WIRECHECK_TEAMS_URL", teams.body),
)

CHATS: Mapping[str, Chat] = {each.name: each for each in _ALL}


class WebhookError(DeliveryError):
    """The message was not accepted: a sentence that names the host, never the URL."""


class UnusableURLError(WebhookError):
    """No URL was given, or nothing can be sent to it."""


def writer(name: str) -> Callable[[str, Destination], None]:
    """The function that posts a message to this kind of chat."""
    chat = CHATS[name]

    def write(text: str, destination: Destination) -> None:
        """Post the text to the named URL, or to that of the environment. Raises WebhookError."""
        url = destination.place or destination.environment.get(chat.variable, "")
        if not url:
            wanted = f"set {chat.variable}, or write -o {chat.name}=URL"
            raise UnusableURLError(_sentence(chat, f"no URL; {wanted}"))
        post(url, chat.body(text, destination.page), chat)

    return write


def post(url: str, document: str, chat: Chat = CHATS["webhook"], seconds: float = SECONDS) -> None:
    """Post the JSON document within the time, however slowly the server sends.

    Raises WebhookError.
    """
    host = _host(url)
    if not host:
        raise UnusableURLError(_sentence(chat, INVALID))
    exchange = _Exchange(url, document.encode(errors="replace"), seconds)
    # Looking up the name and the TLS handshake have no time limit of their own, and a server that
    # sends a byte a second never exceeds the limit of one read.
    thread = threading.Thread(target=exchange.run, name=f"wirecheck {chat.name}", daemon=True)
    thread.start()
    thread.join(seconds)
    is_late = thread.is_alive()
    if is_late:
        exchange.cut()
    if is_late or exchange.timed_out:
        raise WebhookError(
            f"{chat.name.capitalize()}: {host} did not answer within {seconds:.0f} s; "
            "the message may not have arrived."
        )
    if exchange.problem:
        raise WebhookError(_sentence(chat, f"{host} {exchange.problem}"))


def _host(url: str) -> str:
    """The host of the URL; empty if nothing can be posted there."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "") if parts.scheme in ("http", "https") else ""
    except ValueError:
        return ""


def _sentence(chat: Chat, why: str) -> str:
    return f"{chat.name.capitalize()} not sent: {why}."


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the message would go to a host that the user did not name."""

    def redirect_request(self, *_args: object, **_options: object) -> None:
        """Refuse the redirect. Its status becomes the error."""


class _Connections(urllib.request.AbstractHTTPHandler):
    """Makes the connections, and remembers them, so that another thread can end them."""

    def __init__(self, made: list[http.client.HTTPConnection]) -> None:
        super().__init__()
        self._made = made

    def do_open(
        self, http_class: Any, req: urllib.request.Request, **http_conn_args: Any
    ) -> http.client.HTTPResponse:
        """Open a connection, as the standard library does."""

        def connection(*arguments: Any, **options: Any) -> http.client.HTTPConnection:
            self._made.append(http_class(*arguments, **options))
            return self._made[-1]

        return super().do_open(connection, req, **http_conn_args)


class _HTTP(_Connections, urllib.request.HTTPHandler):
    """`http://`, for tests and chats in the same network."""


class _HTTPS(_Connections, urllib.request.HTTPSHandler):
    """`https://`."""


class _Exchange:
    """One POST and the status of its answer. The answer's body is not read."""

    def __init__(self, url: str, document: bytes, seconds: float) -> None:
        self.problem = ""
        """What went wrong, without the URL; empty if the message was accepted."""
        self.timed_out = False
        """Whether one read or the connection took all of the time."""
        self._url = url
        self._document = document
        self._seconds = seconds
        self._connections: list[http.client.HTTPConnection] = []

    def run(self) -> None:
        """Send the message. Every error becomes the problem: many of them quote the URL."""
        try:
            request = urllib.request.Request(
                self._url,
                data=self._document,
                headers={"Content-Type": "application/json", "User-Agent": "wirecheck"},
                method="POST",
            )
            handlers = (_HTTP(self._connections), _HTTPS(self._connections))
            opener = urllib.request.build_opener(_NoRedirect, *handlers)
            opener.open(request, timeout=self._seconds).close()
        except urllib.error.HTTPError as error:
            self.problem = f"answered with status {error.code}"
        except Exception as error:
            why = getattr(error, "reason", error)
            self.timed_out = isinstance(why, TimeoutError)
            words = why.strerror if isinstance(why, OSError) else ""
            self.problem = f"is unreachable: {words or type(why).__name__}"

    def cut(self) -> None:
        """End the connections, and with them the thread that waits for an answer."""
        for connection in self._connections:
            with contextlib.suppress(Exception):
                connection.sock.shutdown(socket.SHUT_RDWR)


def refuse(_destination: Destination) -> None:
    """Refuse nothing: a chat that cannot be reached must not prevent the run."""
