"""What tests of several parts share: an API server in this process; no example has a time limit."""

from hypothesis import HealthCheck, settings

from tests.collect.api.conftest import kubeconfig, server

__all__ = ["kubeconfig", "server"]

# On a busy machine any example may take long.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
