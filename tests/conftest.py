"""What tests of several parts share: an API server and the command line, both in this process.

No example has a time limit.
"""

import signal

from hypothesis import HealthCheck, settings

from tests.collect.conftest import kubeconfig, server
from tests.command_line import bare_home, call
from tests.needs import pytest_configure, pytest_runtest_setup, pytest_terminal_summary

__all__ = [
    "bare_home",
    "call",
    "kubeconfig",
    "pytest_configure",
    "pytest_runtest_setup",
    "pytest_terminal_summary",
    "server",
]

# On a busy machine any example may take long.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# A shell starts background jobs with SIGINT ignored, and programs that tests start would inherit
# that: their Ctrl-C would be lost. A handler, other than SIG_IGN, is reset when a program starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
