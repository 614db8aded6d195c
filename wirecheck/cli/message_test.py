"""`wirecheck test-message`: sends a test message to a chat."""

from __future__ import annotations

import os

import click

from wirecheck.cli.console import complain
from wirecheck.cli.parameter_types import OUTPUT
from wirecheck.evaluation.verdict import HEALTHY, INCOMPLETE
from wirecheck.report.delivery import Output
from wirecheck.report.format import Destination
from wirecheck.report.message import trial_message
from wirecheck.report.webhook import CHATS, UnusableURLError, WebhookError


@click.command("test-message")
@click.argument("chat", type=OUTPUT, metavar="|".join(CHATS))
def send_test_message(chat: Output) -> int:
    """Send a test message: does the chat accept what a run with -o sends?

    The URL is a secret: leave it in the environment variable, as for a run.
    """
    if chat.format.name not in CHATS:
        raise click.UsageError(f"{chat.format.name} is not a chat: choose {', '.join(CHATS)}.")
    try:
        chat.format.write(trial_message(), Destination(chat.place, os.environ))
    except UnusableURLError as error:
        raise click.UsageError(str(error)) from None
    except WebhookError as error:
        complain(str(error))
        return INCOMPLETE
    click.echo(f"{chat.format.name.capitalize()}: the server accepted the test message.")
    return HEALTHY
