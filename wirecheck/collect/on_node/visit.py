"""The visit: runs every stage in order, and prints one document on standard output."""

import base64
import hashlib
import json
import os
import re
import resource
import signal
import sys
import time
import zlib
from typing import Any, Dict, List

from wirecheck.collect.on_node import kernel
from wirecheck.collect.on_node.alongside import Alongside
from wirecheck.collect.on_node.deadline import HungError, give_up, kill_all
from wirecheck.collect.on_node.lifeline import hold_on
from wirecheck.collect.on_node.stages import STAGES, Run, Stage
from wirecheck.collect.on_node.visit_state import VisitState

FORMAT = 1
NOT_ROOT = 68
MARKER = "wirecheck-document"
MOST_OF_A_PROBLEM = 1000
MOST_PROBLEMS = 1000
HAND_OVER = 60
"""Seconds reserved for printing the document."""

ESCAPED = re.compile(r"\\\\|\\ud[89ab]..\\ud[c-f]..|\\ud...")
"""In JSON: a backslash, a character in two halves, or a half alone."""
WANTED_FILES = 65536
"""Open files: one for each network namespace, and one for each query under way."""

JsonObject = Dict[str, Any]


def document_of(plan: JsonObject) -> JsonObject:
    """Run all stages; the document of the visit."""
    document = {"format": FORMAT, "program": plan["program"], "started": time.time()}
    visit = VisitState(plan, document)
    document["host"] = kernel.describe_host()
    begun: List[Alongside] = []
    for stage in STAGES:
        if stage.alongside:
            begun.append(Alongside(stage, visit))
            continue
        attempt(visit, stage, stage.run)
        while begun:
            other = begun.pop()
            attempt(visit, other.stage, other.end)
    for stage in reversed(STAGES):
        if stage.closing:
            attempt(visit, stage, stage.closing)
    document["problems"] = visit.problems[:MOST_PROBLEMS]
    document["finished"] = time.time()
    return document


def attempt(visit: VisitState, stage: Stage, run: Run) -> None:
    """Run a stage if there is time for it. If it fails, the others run nevertheless.

    If the alarm rings, no time is left for the others, and the document so far is sent.
    """
    if visit.deadline.left() <= 0:
        visit.problems.append("%s: not read, the visit had no time left." % stage.name)
        return
    began = time.monotonic()
    visit.stage_limit = stage.limit
    try:
        _run(visit, run)
    except HungError:
        kill_all()
        visit.problems.append("%s: not read, it hung until the visit's time limit." % stage.name)
    except Exception as error:
        why = "%s: %s: %s." % (stage.name, type(error).__name__, error)
        visit.problems.append(why[:MOST_OF_A_PROBLEM])
    seconds = visit.document.setdefault("seconds", {})
    seconds[stage.name] = round(seconds.get(stage.name, 0.0) + time.monotonic() - began, 4)


def _run(visit: VisitState, run: Run) -> None:
    try:
        visit.deadline.has_stage = True
        run(visit)
    finally:
        visit.deadline.has_stage = False


def framed(document: JsonObject) -> str:
    """The document in a frame that shows the reader whether it is complete."""
    # A file's name may have bytes that are not UTF-8. No reader of JSON accepts what Python makes
    # of them, the halves of characters.
    data = ESCAPED.sub(_whole, json.dumps(document, separators=(",", ":"))).encode("ascii")
    body = base64.b64encode(zlib.compress(data, 6)).decode("ascii")
    digest = hashlib.sha256(body.encode("ascii")).hexdigest()
    return "\n%s %d %d %s\n%s\n%s-end\n" % (MARKER, FORMAT, len(body), digest, body, MARKER)


def _whole(escaped: "re.Match[str]") -> str:
    return "?" if len(escaped.group()) == len("\\udc80") else escaped.group()


def allow_many_files() -> None:
    """Raise the limit of open files, as far as this process may."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for limit in (max(hard, WANTED_FILES), hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        except (OSError, ValueError):
            continue
        return


def main(plan: JsonObject) -> None:
    """Run the visit with low priority, and print its document."""
    if os.geteuid() != 0:
        # Without root most of the node cannot be read, and every pod would appear to be missing.
        sys.exit(NOT_ROOT)
    os.nice(10)
    hold_on()
    allow_many_files()
    document = document_of(plan)
    signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, HAND_OVER)
    frame = framed(document)
    signal.setitimer(signal.ITIMER_REAL, HAND_OVER)
    sys.stdout.write(frame)
    sys.stdout.flush()
