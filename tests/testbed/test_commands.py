import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from testbed import commands
from testbed.commands import StoppedByUserError, TestbedError, attempt, run, shield, stop_all

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


@pytest.fixture(autouse=True)
def afresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(commands, "_children", commands._Children())
    yield
    stop_all()


def test_output_and_input_are_text() -> None:
    assert run(["cat"], stdin="süß\n") == "süß\n"


def test_arguments_reach_a_program_as_they_are() -> None:
    assert run(["printf", "%s", "$(id); *"]) == "$(id); *"


def test_a_failure_names_the_program_its_status_and_its_last_words() -> None:
    with pytest.raises(TestbedError, match=r"`ls /no/such/place` ended with 2: .*No such file"):
        run(["ls", "/no/such/place"], env={"LC_ALL": "C"})


def test_a_failure_names_the_log(tmp_path: Path) -> None:
    log = tmp_path / "deep" / "build.log"
    with pytest.raises(TestbedError, match=str(log)):
        run(["ls", "/no/such/place"], log=log)
    assert "/no/such/place" in log.read_text()


def test_an_attempt_tells_the_status() -> None:
    assert attempt(["sh", "-c", "exit 7"]).status == 7


def test_a_program_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(TestbedError, match="cannot run no-such-program"):
        run(["no-such-program"])


def test_a_program_that_does_not_end_is_ended() -> None:
    with pytest.raises(TestbedError, match="took longer than 0 s"):
        run(SLEEP, timeout=0.2)


def test_stopping_ends_what_runs_and_starts_nothing_more() -> None:
    began = threading.Event()
    caught: list[BaseException] = []

    def sleep() -> None:
        began.set()
        try:
            run(SLEEP, timeout=300)
        except TestbedError as error:
            caught.append(error)

    thread = threading.Thread(target=sleep)
    thread.start()
    began.wait(60)
    stop_all()
    thread.join(60)
    assert [type(error) for error in caught] == [StoppedByUserError]
    with pytest.raises(StoppedByUserError):
        run(["true"])


def test_cleaning_up_cannot_be_stopped() -> None:
    stop_all()
    shield()
    stop_all()
    assert run(["echo", "done"]) == "done\n"
