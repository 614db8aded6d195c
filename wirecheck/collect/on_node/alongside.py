"""Runs a stage in a thread while the next stage runs: both mostly wait for the network."""

import copy
import threading
from typing import Optional

from wirecheck.collect.on_node.stages import Stage
from wirecheck.collect.on_node.visit_state import VisitState


class Alongside:
    """A stage that has begun. `end` waits for it, and raises its exception if it failed.

    The kernel keeps the network namespace of each thread apart, so this one may enter others. It
    has a document of its own until it ends, so that one that hangs cannot change what is printed.
    """

    def __init__(self, stage: Stage, visit: VisitState) -> None:
        self.stage = stage
        self._visit = copy.copy(visit)
        self._visit.document = dict(visit.document)
        self._visit.stage_limit = stage.limit
        self._error: Optional[Exception] = None
        self._thread = threading.Thread(target=self._run, name=stage.name, daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # the limit of processes is reached
            self._run()

    def _run(self) -> None:
        try:
            self.stage.run(self._visit)
        except Exception as error:
            self._error = error

    def end(self, visit: VisitState) -> None:
        """Wait until the stage has ended, and take over what it has read."""
        if self._thread.ident is not None:
            self._thread.join()
        if self._error:
            raise self._error
        for field in self.stage.fields:
            if field in self._visit.document:
                visit.document[field] = self._visit.document[field]
