"""How long it is tried: WIRECHECK_FUZZ=long draws other examples each time, and far more."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

UNHURRIED = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]
settings.register_profile(
    "short", max_examples=20, deadline=None, derandomize=True, suppress_health_check=UNHURRIED
)
settings.register_profile("long", max_examples=1000, deadline=None, suppress_health_check=UNHURRIED)
settings.load_profile("long" if os.environ.get("WIRECHECK_FUZZ") == "long" else "short")
