"""`wirecheck test-message`: sends a test message to a chat."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from wirecheck.cli import completion
from wirecheck.cli.complaints import complain
from wirecheck.cli.parameter_types import OUTPUT
from wirecheck.report.format_names import CHAT_NAMES
from wirecheck.results.exit_statuses import HEALTHY, INCOMPLETE

if TYPE_CHECKING:
    from wirecheck.report.delivery import Output


@click.command("test-message")
@click.argument("chat", type=OUTPUT, metavar="|".join(CHAT_NAMES), shell_complete=completion.chats)
def send_test_message(chat: Output) -> int:
    """Send a test message: does the chat accept what a run with -o sends?

    The URL is a secret: leave it in the environment variable, as for a run.
    """
    from wirecheck.report.format import Destination
    from wirecheck.report.message import trial_message
    from wirecheck.report.webhook import UnusableURLError, WebhookError

    if chat.format.name not in CHAT_NAMES:
        names = ", ".join(CHAT_NAMES)
        raise click.UsageError(f"{chat.format.name} is not a chat: choose {names}.")
    try:
        chat.format.write(trial_message(), Destination(chat.place, os.environ))
    except UnusableURLError as error:
        raise click.UsageError(str(error)) from None
    except WebhookError as error:
        complain(str(error))
        return INCOMPLETE
    click.echo(f"{chat.format.name.capitalize()}: the server accepted the test message.")
    return HEALTHY
