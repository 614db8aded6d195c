"""Tell a chat or an alerting system: one POST with a time limit. The URL is a secret."""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from urllib.parse import urlsplit

SECONDS = 10.0


class WebhookError(Exception):
    """The message was not taken: a sentence that names the host, never the URL."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Whoever answers with a redirect would get what was meant for someone else."""

    def redirect_request(self, *_args: object, **_options: object) -> None:
        """Refuse it: the status is the error."""


def post(url: str, body: str) -> None:
    """Post the JSON text. Raises WebhookError."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise WebhookError("The webhook's URL is none; it should begin with https://.") from None
    if parts.scheme not in ("http", "https") or not host:
        raise WebhookError("The webhook's URL is none; it should begin with https://.")
    request = urllib.request.Request(
        url,
        data=body.encode(errors="replace"),
        headers={"Content-Type": "application/json", "User-Agent": "wirecheck"},
        method="POST",
    )
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=SECONDS) as response:
            response.read(1)
    except urllib.error.HTTPError as error:
        raise WebhookError(f"The webhook at {host} answered with {error.code}.") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        # The words of some of these quote the URL.
        why = getattr(error, "reason", error)
        words = why.strerror if isinstance(why, OSError) and why.strerror else type(why).__name__
        raise WebhookError(f"The webhook at {host} was not reached: {words}.") from None
