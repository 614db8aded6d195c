"""What tests of several parts share: an API server in this process; no example has a time limit."""

from hypothesis import HealthCheck, settings

from tests.collect.conftest import kubeconfig, server
from tests.needs import pytest_configure, pytest_runtest_setup, pytest_terminal_summary

__all__ = [
    "kubeconfig",
    "pytest_configure",
    "pytest_runtest_setup",
    "pytest_terminal_summary",
    "server",
]

# On a busy machine any example may take long.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
