"""Sends a message to a chat or an alerting system: one POST with a time limit.

The URL is a secret, so no error quotes it.
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from wirecheck.report.format import DeliveryError, Destination
from wirecheck.report.message import body

SECONDS = 10.0
URL = "WIRECHECK_WEBHOOK_URL"
INVALID = "Webhook not sent: invalid URL; it must begin with https://."


class WebhookError(DeliveryError):
    """The message was not accepted: a sentence that names the host, never the URL."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the message would go to a host that the user did not name."""

    def redirect_request(self, *_args: object, **_options: object) -> None:
        """Refuse the redirect. Its status becomes the error."""


def write(text: str, destination: Destination) -> None:
    """Post the text to the named URL, or to that of the environment. Raises WebhookError."""
    url = destination.place or destination.environment.get(URL, "")
    if not url:
        raise WebhookError(f"Webhook not sent: no URL; set {URL}, or write -o webhook=URL.")
    post(url, body(text, destination.page))


def post(url: str, document: str) -> None:
    """Post the JSON document. Raises WebhookError."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        raise WebhookError(INVALID) from None
    if parts.scheme not in ("http", "https") or not host:
        raise WebhookError(INVALID)
    request = urllib.request.Request(
        url,
        data=document.encode(errors="replace"),
        headers={"Content-Type": "application/json", "User-Agent": "wirecheck"},
        method="POST",
    )
    opener = urllib.request.build_opener(_NoRedirect)
    try:
        with opener.open(request, timeout=SECONDS) as response:
            response.read(1)
    except urllib.error.HTTPError as error:
        raise WebhookError(f"Webhook not sent: {host} answered with status {error.code}.") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        # Some of these errors quote the URL in their text.
        why = getattr(error, "reason", error)
        words = why.strerror if isinstance(why, OSError) and why.strerror else type(why).__name__
        raise WebhookError(f"Webhook not sent: {host} is unreachable: {words}.") from None
