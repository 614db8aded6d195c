"""Waits until nothing has changed in the cluster for a while, as in a cluster that runs by itself.

What one fault restarts would otherwise be a change in flight for the next run, whose seconds are
measured.
"""

from __future__ import annotations

import time
from datetime import datetime

from testbed.state import state
from wirecheck.catalogue.settling import OLD
from wirecheck.collect.api.client import Api
from wirecheck.collect.api.resources import Object
from wirecheck.evaluation.evidence import times_of
from wirecheck.snapshot.api_objects import ApiObjects

PATIENCE = 120.0
"""Seconds to wait at most: a pod may keep restarting."""


def come_to_rest() -> float:
    """Wait until every object has not changed for some time; return the seconds that it took."""
    began = time.monotonic()
    api = Api.connect(state().kubeconfig)
    while time.monotonic() - began < PATIENCE:
        objects = api.read()
        if (left := OLD - age_of_youngest(objects, api.server_time or time.time())) <= 0:
            break
        time.sleep(min(left + 1, OLD))
    return time.monotonic() - began


def age_of_youngest(objects: ApiObjects, now: float) -> float:
    """The seconds since an object last changed that a run's findings can depend on."""
    every: list[Object] = [
        *objects.nodes,
        *objects.pods,
        *objects.services,
        *objects.endpoint_slices,
    ]
    newest = max((time for each in every for time in times_of(each, each.metadata)), default="")
    return now - datetime.fromisoformat(newest).timestamp() if newest else OLD
