"""The program ends when nobody waits for its document any more."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.collect.on_node.conftest import FakeNode, plan
from wirecheck.collect.document_frame import unframed
from wirecheck.collect.node_program import command_line
from wirecheck.collect.on_node.deadline import RAN_OUT

MakeNode = Callable[..., FakeNode]
SECONDS = 60.0


@pytest.fixture
def stuck(fake_node: MakeNode, tmp_path: Path) -> tuple[FakeNode, Path]:
    """A node whose conntrack never ends, and the file that shows that it was started."""
    node = fake_node(web={})
    tools = tmp_path / "tools"
    tools.mkdir()
    tool = tools / "conntrack"
    began = tmp_path / "began"
    tool.write_text(f"#!/bin/sh\necho $$ >>{began}\nsleep 1000 & wait\n")
    tool.chmod(0o755)
    node.run("mount", "--bind", str(tools), "/usr/local/sbin")
    return node, began


def start(node: FakeNode, **changes: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        node.argv(command_line(plan(**changes).encoded())),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def wait_for(condition: Callable[[], object]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.05)


def names(node: FakeNode) -> list[str]:
    """What runs; nobody there buries the dead."""
    look = "for each in /proc/[0-9]*; do read stat <$each/stat && echo $stat; done"
    stats = [line.split()[1:3] for line in node.run("sh", "-c", look).splitlines()]
    return sorted(name for name, state in stats if state != "Z")


def test_it_ends_with_its_standard_input_and_so_does_what_it_started(stuck) -> None:
    node, began = stuck
    before = names(node)
    program = start(node, deadline=5000.0)
    assert program.stdin
    program.stdin.write(b"\n")
    program.stdin.flush()
    wait_for(began.exists)

    program.stdin.close()

    assert program.wait(SECONDS) == RAN_OUT
    assert program.stdout
    assert program.stdout.read() == b""
    wait_for(lambda: names(node) == before)


def test_an_input_that_ended_before_anything_came_is_no_lifeline(fake_node: MakeNode) -> None:
    program = start(fake_node(web={}))

    out, err = program.communicate(timeout=SECONDS)

    assert (program.returncode, err) == (0, b"")
    assert unframed(out)


def test_a_lifeline_that_holds_changes_nothing(fake_node: MakeNode) -> None:
    program = start(fake_node(web={}))
    assert program.stdin
    assert program.stdout
    program.stdin.write(b"\n\n")
    program.stdin.flush()

    out = program.stdout.read()

    assert program.wait(SECONDS) == 0
    assert b'"problems":[]' in unframed(out)
    program.stdin.close()
