import io
from concurrent.futures import ThreadPoolExecutor

from rich.console import Console

from wirecheck.cli.visit_bar import VisitBar
from wirecheck.snapshot.index import VisitRecord, VisitStatus

SEEN = VisitRecord(VisitStatus.SEEN, via="docker://w1", seconds=1.23, bytes=43_210)
REFUSED = VisitRecord(
    VisitStatus.UNREACHABLE, reason="The connection was refused: start \x1b[31msshd."
)


def test_one_plain_line_for_each_node_without_a_terminal():
    file = io.StringIO()
    with VisitBar(Console(file=file, force_terminal=False, width=40), total=2) as progress:
        progress.visited("w1", SEEN)
        progress.visited("w2", REFUSED)
    assert file.getvalue().splitlines() == [
        "[1/2] w1: 1.2 s, 43.2 kB",
        r"[2/2] w2: unreachable: The connection was refused: start \x1b[31msshd.",
    ]


def test_a_bar_on_a_terminal_and_only_what_went_wrong_beside_it():
    file = io.StringIO()
    with VisitBar(Console(file=file, force_terminal=True, width=100), total=2) as progress:
        progress.visited("w1", SEEN)
        progress.visited("w2", REFUSED)
    assert "visiting nodes" in file.getvalue()
    assert "2/2" in file.getvalue()
    assert "w1: 1.2 s" not in file.getvalue()
    assert r"w2: unreachable: The connection was refused: start \x1b[31msshd." in file.getvalue()


def test_every_thread_counts():
    file = io.StringIO()
    with (
        VisitBar(Console(file=file, force_terminal=False), total=200) as progress,
        ThreadPoolExecutor(8) as threads,
    ):
        list(threads.map(lambda number: progress.visited(f"w{number}", SEEN), range(200)))
    counts = [line.partition("]")[0] for line in file.getvalue().splitlines()]
    assert counts == [f"[{number}/200" for number in range(1, 201)]
