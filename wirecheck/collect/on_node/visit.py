"""The visit: runs every stage in order, and prints one document on standard output."""

import base64
import hashlib
import json
import os
import resource
import signal
import sys
import time
import zlib
from typing import Any, Dict

from wirecheck.collect.on_node import kernel
from wirecheck.collect.on_node.lifeline import hold_on
from wirecheck.collect.on_node.stages import STAGES, Run, Stage
from wirecheck.collect.on_node.visit_state import VisitState

FORMAT = 1
NOT_ROOT = 68
MARKER = "wirecheck-document"
HAND_OVER = 60
"""Seconds reserved for printing the document."""

JsonObject = Dict[str, Any]


def document_of(plan: JsonObject) -> JsonObject:
    """Run all stages; the document of the visit."""
    document = {"format": FORMAT, "program": plan["program"], "started": time.time()}
    visit = VisitState(plan, document)
    document["host"] = kernel.describe_host()
    for stage in STAGES:
        attempt(visit, stage, stage.run)
    for stage in reversed(STAGES):
        if stage.closing:
            attempt(visit, stage, stage.closing)
    document["problems"] = visit.problems
    document["finished"] = time.time()
    return document


def attempt(visit: VisitState, stage: Stage, run: Run) -> None:
    """Run a stage if there is time for it. If it fails, the others run nevertheless."""
    if visit.deadline.left() <= 0:
        visit.problems.append("%s: not read, the visit had no time left." % stage.name)
        return
    began = time.monotonic()
    visit.stage_limit = stage.limit
    try:
        run(visit)
    except Exception as error:
        visit.problems.append("%s: %s: %s." % (stage.name, type(error).__name__, error))
    seconds = visit.document.setdefault("seconds", {})
    seconds[stage.name] = round(seconds.get(stage.name, 0.0) + time.monotonic() - began, 4)


def framed(document: JsonObject) -> str:
    """The document in a frame that shows the reader whether it is complete."""
    data = json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    body = base64.b64encode(zlib.compress(data, 6)).decode("ascii")
    digest = hashlib.sha256(body.encode("ascii")).hexdigest()
    return "\n%s %d %d %s\n%s\n%s-end\n" % (MARKER, FORMAT, len(body), digest, body, MARKER)


def main(plan: JsonObject) -> None:
    """Run the visit with low priority, and print its document."""
    if os.geteuid() != 0:
        # Without root most of the node cannot be read, and every pod would appear to be missing.
        sys.exit(NOT_ROOT)
    os.nice(10)
    hold_on()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    frame = framed(document_of(plan))
    signal.setitimer(signal.ITIMER_REAL, HAND_OVER)
    sys.stdout.write(frame)
    sys.stdout.flush()
