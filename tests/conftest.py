"""What tests of several parts share: an API server in this process."""

from tests.collect.api.conftest import kubeconfig, server

__all__ = ["kubeconfig", "server"]
