"""Requests to the API server, each with a time limit; reads have a bounded number of retries."""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import urllib3

from wirecheck.collect.api.errors import (
    ApiError,
    Server,
    not_understood,
    refused,
    too_large,
    unreachable,
)
from wirecheck.collect.api.exchange import Exchange, TooLargeError

CONNECT_SECONDS = 10.0
SILENCE_SECONDS = 30.0
"""How long the server may pause within a response."""
ANSWER_SECONDS = 120.0
"""How long one response may take in total, from the connection to its last byte."""
LARGEST = 256 << 20
"""Bytes of one response: a page of 1,000 pods has about 7 MB."""
PAUSES = (0.5, 1.0, 2.0, 4.0)
"""Seconds before each retry after 429 or 5xx, if the response has no Retry-After."""
LONGEST_PAUSE = 30.0
IDLE_SECONDS = 60.0
"""After so long without a request new connections are created: load balancers silently drop
idle ones, and the visits between two requests can take minutes."""


HEADERS = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "Content-Type": "application/json",
}
Query = Mapping[str, str] | None


@dataclass(slots=True)
class Connection:
    """The client's connection pool with time limits and retries; several threads may use it."""

    client: Any
    """An `ApiClient` of the kubernetes library."""
    server: Server
    pause: Callable[[float], None] = time.sleep
    last_used: float = field(default_factory=time.monotonic)
    server_time: float = 0.0
    """The Date of the first response since it was last set to 0, in seconds since the epoch."""
    changes_nothing: bool = False
    """Whether `send` refuses every request."""

    def get(
        self,
        path: str,
        what: str,
        query: Mapping[str, str] | None = None,
        rule: str = "",
        until: float = math.inf,
    ) -> bytes:
        """The body of the response to one GET, which is retried after 429 and 5xx only.

        The message of an ApiError contains `what` and the RBAC `rule` that allows it. `until` is
        when the whole read that it belongs to has to end, on the monotonic clock.
        """
        for pause in (*PAUSES, None):
            with self._open(path, what, query or {}, until=until) as exchange:
                body = b"".join(exchange.chunks())
            head = exchange.head
            if head.status == 200:
                return body
            if pause is None or not (head.status == 429 or head.status >= 500):
                raise refused(self.server, head.status, what, body, rule)
            self.pause(_asked_pause(head.headers.get("Retry-After", ""), pause))
        raise AssertionError("the last try either returns or raises")

    def send(
        self, method: str, path: str, what: str, body: object = None, query: Query = None
    ) -> tuple[int, bytes]:
        """The status and the body of the response to one request that changes something.

        It is retried only after 429, when the server has not processed it.
        """
        if self.changes_nothing:
            raise ApiError(f"{method} {path} was not sent: this run changes nothing.")
        for pause in (*PAUSES, None):
            with self._open(path, what, query or {}, method=method, body=body) as exchange:
                answer = b"".join(exchange.chunks())
            head = exchange.head
            if pause is None or head.status != 429:
                return head.status, answer
            self.pause(_asked_pause(head.headers.get("Retry-After", ""), pause))
        raise AssertionError("the last try returns")

    def lines(
        self, path: str, what: str, query: Mapping[str, str], rule: str, seconds: float
    ) -> Iterator[bytes]:
        """Yield the lines of one streamed response; raise ApiError when `seconds` have passed."""
        with self._open(path, what, query, seconds=seconds) as exchange:
            if exchange.head.status != 200:
                body = b"".join(exchange.chunks())
                raise refused(self.server, exchange.head.status, what, body, rule)
            rest = bytearray()
            for chunk in exchange.chunks():
                # Joined only at the end of a line, which can have any number of chunks.
                *whole, last = chunk.split(b"\n")
                for each in whole:
                    yield bytes(rest) + each
                    rest.clear()
                rest += last
            if rest:
                yield bytes(rest)

    def decoded(self, raw: bytes | msgspec.Raw, kind: type[Any], what: str) -> Any:
        """`raw` decoded as `kind`. Raises ApiError if it is something else.

        Kubernetes treats null as absent, and writes an unset time as null (a container whose
        end was not observed has `finishedAt: null`).
        """
        try:
            try:
                return msgspec.json.decode(raw, type=kind)
            except msgspec.ValidationError:
                return msgspec.convert(without_nulls(msgspec.json.decode(raw)), kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise not_understood(self.server, what, error) from None

    @contextmanager
    def _open(
        self,
        path: str,
        what: str,
        query: Mapping[str, str],
        *,
        seconds: float | None = None,
        until: float = math.inf,
        method: str = "GET",
        body: object = None,
    ) -> Iterator[Exchange]:
        """Send a request; what goes wrong until the context exits is an ApiError.

        `seconds` replaces the usual limits: a watch is silent for as long as nothing changes.
        """
        silence, limit = SILENCE_SECONDS, ANSWER_SECONDS
        if seconds is not None:
            silence = limit = seconds
        request = partial(self._sent, method, path, query, silence, body)
        try:
            with closing(Exchange(request, min(limit, until - time.monotonic()), LARGEST)) as found:
                yield found
        except TooLargeError:
            raise too_large(self.server, what, LARGEST) from None
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise unreachable(self.server, what, error) from None

    def _sent(
        self, method: str, path: str, query: Mapping[str, str], silence: float, body: object
    ) -> urllib3.BaseHTTPResponse:
        pool = self.client.rest_client.pool_manager
        if time.monotonic() - self.last_used > IDLE_SECONDS:
            pool.clear()
        self.last_used = time.monotonic()
        # Also renews a token that has expired.
        _, url, headers, *_ = self.client.param_serialize(
            method,
            path,
            query_params=list(query.items()),
            header_params=HEADERS,
            auth_settings=["BearerToken"],
        )
        response: urllib3.BaseHTTPResponse = pool.request(
            method,
            url,
            body=None if body is None else msgspec.json.encode(body),
            headers=headers,
            timeout=urllib3.Timeout(connect=CONNECT_SECONDS, read=silence),
            preload_content=False,
            retries=False,
        )
        self.server_time = self.server_time or _date(response.headers.get("Date", "")) or 0.0
        return response


def _asked_pause(retry_after: str, default: float) -> float:
    """Seconds to wait: the value of Retry-After (seconds or a date), within bounds."""
    try:
        asked = float(retry_after)
    except ValueError:
        date = _date(retry_after)
        asked = default if date is None else date - time.time()
    return min(max(asked, 0.0), LONGEST_PAUSE) if math.isfinite(asked) else default


def _date(text: str) -> float | None:
    """The date in a header, in seconds since the epoch; None if the text is not a date."""
    try:
        return email.utils.parsedate_to_datetime(text).timestamp()
    except (TypeError, ValueError, OverflowError):
        return None


def without_nulls(value: Any) -> Any:
    """The value without members that are null: Kubernetes treats null as absent."""
    if isinstance(value, dict):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [without_nulls(inner) for inner in value if inner is not None]
    return value
