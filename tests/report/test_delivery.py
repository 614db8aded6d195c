"""`-o`: where further reports go, what is printed, and what happens if one cannot be written."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from tests.report import sample
from tests.served_cluster import Listener
from tests.snapshots import CHECKS, broken, healthy, unreachable, written
from wirecheck.catalogue.findings import Outcome
from wirecheck.report.delivery import Output, deliver, deliver_failure, read_output
from wirecheck.report.registry import FORMATS
from wirecheck.report.webhook import WebhookError, post
from wirecheck.results.tally import tally_of
from wirecheck.run.sonobuoy_progress import SonobuoyProgress
from wirecheck.snapshot.index import VisitRecord, VisitStatus

FAILED = "1 check failed on 1 node, 1 root cause."
WELL = "passed, 7 checks not applicable."
SECRET = "T0KEN-that-nobody-may-see"


@pytest.fixture
def run(tmp_path, monkeypatch, call):
    """Run `wirecheck run …` with some of the checks in an empty folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("GITHUB_STEP_SUMMARY", "SONOBUOY_RESULTS_DIR", "RESULTS_DIR"):
        monkeypatch.delenv(name, raising=False)
    checks = [word for group in CHECKS for word in ("-k", group)]
    return lambda *arguments: call("run", *arguments, *checks)


class Chat:
    """A server on this machine that remembers what was posted."""

    def __init__(self) -> None:
        self.bodies: list[dict] = []
        self.status = 200
        chat = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                chat.bodies.append(json.loads(self.rfile.read(length)))
                self.send_response(chat.status)
                self.send_header("Location", f"http://127.0.0.1:{chat.port}/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/{SECRET}"


@pytest.fixture
def chat():
    chat = Chat()
    yield chat
    chat.server.shutdown()
    chat.server.server_close()


def test_each_format_is_written_where_it_was_asked_for(run, tmp_path):
    snapshot = written(tmp_path / "seen", broken())
    files = [name for name, each in FORMATS.items() if not each.has_default_place]
    options = [word for name in files for word in ("-o", f"{name}=out.{name}")]

    status, out, _ = run("--snapshot", snapshot, *options)

    assert status == 1
    assert "FAIL pods.ip_on_interface" in out
    for name in files:
        assert "ip_on_interface" in Path(f"out.{name}").read_text() or name == "nagios"
    assert Path("out.nagios").read_text().startswith("WIRECHECK CRITICAL")
    assert not list(tmp_path.glob(".*.part"))


@pytest.mark.parametrize(
    ("cluster", "status", "start"),
    [
        (healthy, 0, "WIRECHECK OK - "),
        (broken, 2, "WIRECHECK CRITICAL - "),
        (unreachable, 3, "WIRECHECK UNKNOWN - "),
    ],
)
def test_nagios_alone_is_the_screen_and_sets_the_status(run, tmp_path, cluster, status, start):
    snapshot = written(tmp_path / "seen", cluster())

    code, out, _ = run("--snapshot", snapshot, "-o", "nagios")

    assert code == status
    assert out.startswith(start)
    assert out.count("\n") == 1


def test_nagios_gets_its_line_without_results(run):
    code, out, _ = run("--snapshot", "missing", "-o", "nagios")

    assert (code, out) == (
        3,
        "WIRECHECK UNKNOWN - missing is not a snapshot: it has no snapshot.json; name the snapshot "
        "folder of a run.\n",
    )


def test_jsonl_on_standard_output_is_the_results_and_nothing_else(run, tmp_path):
    _, out, _ = run("--snapshot", written(tmp_path / "seen", broken()), "-o", "jsonl")

    assert [json.loads(line)["type"] for line in out.splitlines()][::1000] == ["run"]
    assert json.loads(out.splitlines()[-1])["status"] == 1


@pytest.mark.parametrize("options", [["-o", "pdf"], ["-o", "jsonl", "-o", "markdown"]])
def test_what_cannot_be_is_refused(run, options):
    status, _, err = run(*options)

    assert status == 4
    assert "unknown format 'pdf'" in err or "only one can be printed" in err


def test_what_cannot_be_written_is_refused_before_anything_is_checked(run, tmp_path):
    snapshot = written(tmp_path / "seen", healthy())

    status, out, err = run("--snapshot", snapshot, "-o", "junit=no/such/folder/x", "-o", "html=h")

    assert (status, out) == (4, "")
    why = "folder no/such/folder does not exist"
    assert f"The junit report cannot be written to no/such/folder/x: {why}" in err
    assert sorted(each.name for each in tmp_path.iterdir()) == ["seen"]


def test_what_cannot_be_written_in_the_end_is_said_and_stops_nothing(run, tmp_path, monkeypatch):
    snapshot = written(tmp_path / "seen", healthy())
    monkeypatch.setattr("wirecheck.run.reported_run.refuse_unwritable_places", lambda *_, **__: 0)

    status, out, err = run("--snapshot", snapshot, "-o", "junit=no/such/folder/x", "-o", "html=h")

    assert (status, out.splitlines()[-1].partition("run: ")[2]) == (0, WELL)
    assert "The junit report was not written: folder no/such/folder does not exist" in err
    assert Path("h").is_file()


def test_github_gets_a_summary_and_annotations(run, tmp_path, monkeypatch):
    summary = tmp_path / "summary.md"
    summary.write_text("# of another step\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))

    _, out, _ = run("--snapshot", written(tmp_path / "seen", broken()))

    written_text = summary.read_text()
    assert written_text.startswith("# of another step\n## ❌ ")
    assert "checks run: 1 check failed on 1 node, 1 root cause." in written_text
    assert out.splitlines()[-1].startswith("::error title=wirecheck pods.ip_on_interface")


def test_elsewhere_there_are_no_annotations(run, tmp_path):
    _, out, _ = run("--snapshot", written(tmp_path / "seen", broken()))

    assert "::error" not in out


def test_sonobuoy_gets_its_tree_and_then_the_file_that_says_so(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SONOBUOY_RESULTS_DIR", str(tmp_path / "results"))

    run("--snapshot", written(tmp_path / "seen", broken()), "-o", "sonobuoy")

    file = Path((tmp_path / "results/done").read_text())
    assert file == tmp_path / "results/sonobuoy_results.yaml"
    assert yaml.safe_load(file.read_text())["status"] == "failed"


def test_sonobuoy_does_not_hang_on_a_run_without_results(run, tmp_path):
    status, _, _ = run("--snapshot", "missing", "-o", "sonobuoy=results")

    tree = yaml.safe_load(Path((tmp_path / "results/done").read_text()).read_text())
    assert status == 4
    assert (tree["status"], "missing is not a snapshot" in tree["details"]["error"]) == (
        "unknown",
        True,
    )


def test_a_chat_gets_changes_only(run, tmp_path, chat):
    ill = written(tmp_path / "ill", broken())
    well = written(tmp_path / "well", healthy())
    words = ["--history", "runs.jsonl", "-o", f"webhook={chat.url}"]
    messages = []

    for snapshot in (well, ill, ill, well, well):
        _, out, err = run("--snapshot", snapshot, *words)
        messages.append(len(chat.bodies))
        assert SECRET not in out + err

    assert messages == [0, 1, 1, 2, 2]
    first, second = (body["text"].splitlines() for body in chat.bodies)
    assert first[0].startswith("FAIL small, Kubernetes v1.34.4")
    assert first[2] == "Failing: pods.ip_on_interface"
    assert second[1].partition("run: ")[2] == WELL


@pytest.mark.parametrize("status", [500, 302])
def test_a_chat_that_refuses_is_a_warning(run, tmp_path, chat, status):
    chat.status = status

    code, out, err = run(
        "--snapshot", written(tmp_path / "ill", broken()), "-o", f"webhook={chat.url}"
    )

    assert (code, out.splitlines()[-1].partition("run: ")[2]) == (1, FAILED)
    assert f"Webhook not sent: 127.0.0.1 answered with status {status}." in err
    assert SECRET not in out + err
    assert len(chat.bodies) == 1


@pytest.mark.parametrize(
    "url",
    [
        f"http://127.0.0.1:1/{SECRET}",
        f"ftp://127.0.0.1/{SECRET}",
        f"file:///{SECRET}",
        f"http://user:{SECRET}@",
        f"http://[{SECRET}",
        f"https://127.0.0.1:99999/{SECRET}",
        f"http://127.0.0.1:1/\n{SECRET}",
        "",
    ],
)
def test_no_error_of_a_webhook_quotes_its_url(url):
    with pytest.raises(WebhookError) as error:
        post(url, "{}")

    assert SECRET not in str(error.value)


def test_a_webhook_without_a_url_is_a_warning():
    said: list[str] = []

    deliver(sample.broken(), [read_output("webhook")], said.append, environment={})

    assert said == ["Webhook not sent: no URL; set WIRECHECK_WEBHOOK_URL, or write -o webhook=URL."]


def test_the_webhooks_url_may_be_in_the_environment(chat):
    environment = {"WIRECHECK_WEBHOOK_URL": chat.url}

    deliver(sample.broken(), [read_output("webhook")], pytest.fail, environment=environment)

    assert len(chat.bodies) == 1


def test_options_are_read_up_to_the_first_equals_sign():
    assert read_output("junit=a=b.xml") == Output(FORMATS["junit"], "a=b.xml")
    assert read_output("nagios").is_printed
    assert not read_output("sonobuoy").is_printed


def test_a_failed_run_is_reported_to_those_who_wait(tmp_path):
    outputs = [read_output("nagios"), read_output("junit=x")]

    said = deliver_failure(outputs, f"no {sample.HOSTILE}\nAPI", pytest.fail)

    assert said.startswith("WIRECHECK UNKNOWN - no ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["-o", "nagios", "--no-such-option"],
        ["--output=nagios", "--round-intervals", "soon"],
        ["-onagios", "--snapshot", "missing", "--wait", "5m"],
    ],
)
def test_nagios_gets_its_line_for_wrong_usage(run, words):
    code, out, _ = run(*words)

    assert code == 3
    assert out.startswith("WIRECHECK UNKNOWN - ")
    assert out.count("\n") == 1


def test_sonobuoy_gets_the_progress(monkeypatch, chat):
    progress = SonobuoyProgress(Listener(), str(chat.port))
    with progress.visits(2) as visits:
        visits.visited("n1", VisitRecord(VisitStatus.SEEN))
        visits.visited("n2", VisitRecord(VisitStatus.UNREACHABLE, reason="n2 is down."))
    progress.ended(sample.broken())

    assert [(each["total"], each["completed"]) for each in chat.bodies] == [
        *((2, number) for number in (0, 1, 2, 2, 2)),
    ]
    assert chat.bodies[-2]["errors"] == ["n2: n2 is down."]
    assert "services.are_programmed on w2, w5" in chat.bodies[-1]["failures"]
    assert len(chat.bodies[-1]["failures"]) == tally_of(sample.broken()).number(Outcome.FAIL)
    assert chat.bodies[-1]["msg"] == sample.broken().ended.verdict


def test_a_plugin_of_sonobuoy_informs_its_sidecar(run, tmp_path, monkeypatch, chat):
    monkeypatch.setenv("SONOBUOY_PROGRESS_PORT", str(chat.port))
    monkeypatch.setenv("SONOBUOY_RESULTS_DIR", str(tmp_path / "results"))

    run("--snapshot", written(tmp_path / "seen", broken()), "-o", "sonobuoy")

    assert [body["msg"].partition("run: ")[2] for body in chat.bodies] == [FAILED]


def test_a_sidecar_that_is_not_there_changes_nothing(run, tmp_path, monkeypatch):
    monkeypatch.setenv("SONOBUOY_PROGRESS_PORT", "1")
    monkeypatch.setenv("SONOBUOY_RESULTS_DIR", str(tmp_path / "results"))

    code, _, _ = run("--snapshot", written(tmp_path / "seen", healthy()), "-o", "sonobuoy")

    assert code == 0
