"""Ports of Services, and the endpoints that connections to them are forwarded to."""

from __future__ import annotations

from typing import NamedTuple


class Backend(NamedTuple):
    """The address and port that a connection is forwarded to."""

    address: str
    port: int

    def __str__(self) -> str:
        """`10.244.1.3:8080`, `[fd00::3]:8080`."""
        return with_port(self.address, self.port)


class ServicePort(NamedTuple):
    """The port of a Service in the API; `name` is empty for an unnamed port."""

    namespace: str
    service: str
    name: str
    protocol: str
    uid: str = ""

    def __str__(self) -> str:
        """`kube-system/kube-dns:dns`, as in kube-proxy's own comments."""
        port = f":{self.name}" if self.name else ""
        return f"{self.namespace}/{self.service}{port}"


def with_port(address: str, port: int) -> str:
    """`10.244.1.3:8080`, `[fd00::3]:8080`."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
