"""Messages for Slack, Teams and other chats: their formats, their limits, and slow servers."""

from __future__ import annotations

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from msgspec.structs import replace

from tests.report import sample
from tests.report.test_delivery import SECRET, chat
from tests.report.test_flaky import flaky
from tests.report.test_formats import NASTY, RUNS
from wirecheck.catalogue.findings import Outcome
from wirecheck.report import message, slack, teams, webhook
from wirecheck.report.delivery import deliver, read_output
from wirecheck.report.webhook import CHATS, WebhookError, post
from wirecheck.results.records import ItemResult, Results

__all__ = ["chat"]

PAGE = "reports/20261123T030641Z/report.html"
MARKUP = "<!channel> <@U123> <http://evil.example|click> [x](http://evil.example) &lt; *b* `c`"


def wordy() -> Results:
    """A run in which every line of the message is as long as it can be."""
    ids = [f"{'long' * 20}.check_{number}" for number in range(30)]
    items = [ItemResult(each, Outcome.FAIL, node="w1") for each in ids]
    cluster = replace(sample.broken().started.cluster, name="c" * 5000)
    run = sample.broken()
    return replace(
        run,
        started=replace(run.started, cluster=cluster),
        items=items,
        ended=replace(run.ended, verdict="<&>" * 3000),
    )


def marked() -> Results:
    run = sample.broken()
    cluster = replace(run.started.cluster, name=MARKUP)
    return replace(
        run,
        started=replace(run.started, cluster=cluster),
        ended=replace(run.ended, verdict=MARKUP),
    )


ALL_RUNS = sample.Runs({**RUNS.makers, "wordy": wordy, "marked": marked})


def texts(value: object) -> Iterator[dict]:
    """Every object with a text, however deep."""
    if isinstance(value, dict):
        if "text" in value and isinstance(value["text"], str):
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from texts(each)


def card(text: str, page: str = "") -> dict:
    """The Adaptive Card in a message to Teams."""
    (attachment,) = json.loads(teams.body(text, page))["attachments"]
    return attachment["content"]


@pytest.mark.parametrize("run", ALL_RUNS)
def test_slack_gets_blocks_within_its_limits(run):
    document = json.loads(slack.body(message.render(ALL_RUNS[run]), PAGE))
    header, *sections = document["blocks"]

    assert set(document) == {"text", "blocks"}
    assert document["text"]
    assert 1 <= len(sections) <= slack.MOST_BLOCKS - 1
    assert header["type"] == "header"
    assert header["text"]["type"] == "plain_text"
    assert 1 <= len(header["text"]["text"]) <= 150
    for each in sections:
        assert each["type"] == "section"
        assert each["text"]["verbatim"] is True
        assert 1 <= len(each["text"]["text"]) <= 3000


@pytest.mark.parametrize("run", ["nasty", "marked", "wordy"])
def test_slack_reads_no_markup_in_names(run):
    document = json.loads(slack.body(message.render(ALL_RUNS[run]), PAGE))

    for each in texts(document):
        assert not re.search("[<>]", each["text"])
        assert re.sub(r"&(amp|lt|gt);", "", each["text"]).count("&") == 0


@pytest.mark.parametrize("run", ALL_RUNS)
def test_teams_gets_an_adaptive_card_in_a_message(run):
    text = teams.body(message.render(ALL_RUNS[run]), PAGE)
    document = json.loads(text)
    (attachment,) = document["attachments"]

    assert document["type"] == "message"
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["content"]["type"] == "AdaptiveCard"
    assert attachment["content"]["version"] == "1.4"
    assert len(text.encode()) < teams.LARGEST


@pytest.mark.parametrize("run", ALL_RUNS)
def test_teams_reads_no_markdown_in_names(run):
    found = card(message.render(ALL_RUNS[run]), PAGE)
    kinds = {each["type"] for each in texts(found)}

    assert kinds == {"TextRun"}
    assert '"TextBlock"' not in json.dumps(found)


@pytest.mark.parametrize(
    ("run", "style"),
    [("broken", "attention"), ("healthy", "good"), ("nothing", "warning"), ("flaky", "warning")],
)
def test_the_colour_of_a_card_is_that_of_the_verdict(run, style):
    found = card(message.render({**RUNS, "flaky": flaky()}[run]))

    assert found["body"][0]["style"] == style


@pytest.mark.parametrize("name", CHATS)
def test_every_chat_says_what_fails_and_where_the_report_is(name):
    document = CHATS[name].body(message.render(sample.broken()), PAGE)

    for said in ("FAIL prod-eu-1", "3 checks failed", "Failing: pods.carries", f"Report: {PAGE}"):
        assert said in document


@pytest.mark.parametrize("name", CHATS)
def test_no_control_character_reaches_a_chat(name):
    document = CHATS[name].body(message.render(RUNS["nasty"]), NASTY)

    said = " ".join(each["text"] for each in texts(json.loads(document)))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", said)


@pytest.mark.parametrize("name", CHATS)
def test_each_chat_has_its_url_in_an_environment_variable(name, chat):
    environment = {CHATS[name].variable: chat.url}

    deliver(sample.broken(), [read_output(name)], pytest.fail, environment=environment)

    assert [set(body) for body in chat.bodies] == [
        set(json.loads(CHATS[name].body(message.render(sample.broken()), "")))
    ]


@pytest.mark.parametrize("name", CHATS)
def test_a_chat_without_a_url_is_a_warning(name):
    said: list[str] = []

    deliver(sample.broken(), [read_output(name)], said.append, environment={})

    (sentence,) = said
    assert f"set {CHATS[name].variable}, or write -o {name}=URL." in sentence


@pytest.mark.parametrize("text", [f"https://chat.example/{SECRET}", f"chat.example/{SECRET}=x"])
def test_a_url_without_its_format_is_not_repeated(text):
    with pytest.raises(ValueError, match="the format is missing") as error:
        read_output(text)

    assert SECRET not in str(error.value)


@contextmanager
def server(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """The URL of a server that treats each connection as `serve` says, until the event is set."""
    listening = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def run() -> None:
        connection, _ = listening.accept()
        with connection:
            serve(connection, over)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}/{SECRET}"
    over.set()
    thread.join(5)
    listening.close()


def says_nothing(_: socket.socket, over: threading.Event) -> None:
    over.wait(10)


def sends_a_byte_at_a_time(connection: socket.socket, over: threading.Event) -> None:
    drip(connection, over, b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 1000, 1)


def continues_without_end(connection: socket.socket, over: threading.Event) -> None:
    drip(connection, over, b"HTTP/1.1 100 Continue\r\n\r\n" * 1000, 25)


def drip(connection: socket.socket, over: threading.Event, raw: bytes, size: int) -> None:
    for start in range(0, len(raw), size):
        try:
            connection.sendall(raw[start : start + size])
        except OSError:
            return
        if over.wait(0.02):
            return


SLOW = [says_nothing, sends_a_byte_at_a_time, continues_without_end]


@pytest.mark.parametrize("serve", SLOW)
def test_a_slow_server_has_a_time_limit(serve):
    with server(serve) as url:
        started = time.monotonic()
        with pytest.raises(WebhookError) as error:
            post(url, "{}", seconds=0.3)
        took = time.monotonic() - started

    assert took < 60
    assert "127.0.0.1 did not answer within" in str(error.value)
    assert SECRET not in str(error.value)


def test_the_limit_of_one_read_is_reported_alike(monkeypatch):
    """The socket and the thread have the same limit, and either can end first."""
    join = threading.Thread.join
    monkeypatch.setattr(threading.Thread, "join", lambda thread, _=None: join(thread, 60))

    with server(says_nothing) as url, pytest.raises(WebhookError) as error:
        post(url, "{}", seconds=0.3)

    assert "127.0.0.1 did not answer within" in str(error.value)


def test_the_thread_of_a_slow_server_ends():
    with server(continues_without_end) as url:
        with pytest.raises(WebhookError):
            post(url, "{}", seconds=0.2)
        left = [each for each in threading.enumerate() if each.name == "wirecheck webhook"]
        for each in left:
            each.join(5)
        assert not any(each.is_alive() for each in left)


def test_a_name_server_that_does_not_answer_has_the_same_limit(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(90))

    started = time.monotonic()
    with pytest.raises(WebhookError, match=r"chat\.example did not answer"):
        post(f"https://chat.example/{SECRET}", "{}", seconds=0.2)

    assert time.monotonic() - started < 60
    over.set()


def test_a_body_without_end_is_not_read():
    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(b"HTTP/1.1 202 Accepted\r\nContent-Length: 99999999\r\n\r\n")
        over.wait(10)

    with server(serve) as url:
        post(url, "{}", seconds=5)


@pytest.mark.parametrize("name", CHATS)
def test_a_test_message_is_sent_and_says_so(name, chat, call, monkeypatch):
    monkeypatch.setenv(CHATS[name].variable, chat.url)

    status, out, err = call("test-message", name)

    assert (status, err) == (0, "")
    assert out == f"{name.capitalize()}: the server accepted the test message.\n"
    (body,) = chat.bodies
    assert "This is a test message." in json.dumps(body)
    assert SECRET not in out


@pytest.mark.parametrize(
    ("answer", "status", "said"),
    [(200, 0, ""), (404, 2, "answered with status 404"), (302, 2, "answered with status 302")],
)
def test_the_status_of_a_test_message_is_whether_it_was_accepted(answer, status, said, chat, call):
    chat.status = answer

    found, out, err = call("test-message", f"slack={chat.url}")

    assert found == status
    assert said in err
    assert SECRET not in out + err


@pytest.mark.parametrize(
    "word", ["slack", "teams=ftp://x/y", "junit=f.xml", f"https://chat.example/{SECRET}", "x"]
)
def test_a_test_message_that_cannot_be_sent_is_usage(word, call, monkeypatch):
    monkeypatch.delenv("WIRECHECK_SLACK_URL", raising=False)

    status, out, err = call("test-message", word)

    assert (status, out) == (4, "")
    assert err
    assert SECRET not in err


@pytest.mark.parametrize(
    "words",
    [
        ("run", "--snapshot", "x", "-o", "slack", f"https://chat.example/{SECRET}"),
        ("test-message", "teams", f"https://user:{SECRET}@chat.example/{SECRET}?sig={SECRET}"),
        ("test-message", f"HTTPS://chat.example/{SECRET}"),
        ("diff", f"https://chat.example/{SECRET}", "b", "c"),
        ("run", "--rounds", f"https://chat.example/{SECRET}"),
    ],
)
def test_a_url_in_the_wrong_place_is_not_repeated(words, call):
    status, out, err = call(*words)

    assert status == 4
    assert SECRET not in out + err


def test_the_limit_of_a_message_is_ten_seconds():
    assert webhook.SECONDS == 10
