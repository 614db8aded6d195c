"""The scenarios of faults in the looking can fail."""

from __future__ import annotations

import http.client
from pathlib import Path

import pytest
import yaml

from testbed.reliability import api_proxy
from testbed.reliability.__main__ import SCENARIOS
from testbed.reliability.api_proxy import Fault, serving
from testbed.reliability.scenario import Outcome, expected
from wirecheck.collect.api.client import Api, ApiError
from wirecheck.collect.api.resources import RESOURCES

(PODS,) = [each for each in RESOURCES if each.plural == "pods"]


def test_each_has_a_name_of_its_own() -> None:
    names = [each.name for each in SCENARIOS]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Outcome(1, "", 1.0, None), "it ended with 1"),
        (Outcome(2, "Traceback (most recent call last)", 1.0, None), "there is a traceback"),
        (Outcome(2, "another sentence", 1.0, None), "'the sentence' was not said"),
    ],
)
def test_what_is_not_as_expected_is_told(outcome: Outcome, words: str) -> None:
    (wrong,) = expected(outcome, 2, words=() if "said" not in words else ("the sentence",))
    assert words in wrong


@pytest.fixture
def real(server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of plain HTTP takes the place of the real one."""
    host = server.url.removeprefix("http://")
    monkeypatch.setattr(api_proxy, "_credentials", lambda _: (None, host))
    monkeypatch.setattr(
        http.client,
        "HTTPSConnection",
        lambda host, **options: http.client.HTTPConnection(host, timeout=options["timeout"]),
    )
    server.lists[PODS.path] = [{"metadata": {"name": f"p{n}", "uid": str(n)}} for n in range(9)]


def test_the_proxy_passes_on_refuses_and_cuts(real, server) -> None:
    faults = {1: Fault(429, {"Retry-After": "0"}), 3: Fault(cut=True)}

    def rule(path: str, count: int) -> Fault | None:
        return faults.get(count) if path == PODS.path else None

    with serving(Path("unused"), rule) as kubeconfig:
        assert yaml.safe_load(kubeconfig.read_text())["users"][0]["user"] == {}
        api = Api.connect(kubeconfig)
        objects, _ = api.objects(PODS)
        assert len(objects) == 9
        with pytest.raises(ApiError, match="closed the connection"):
            api.objects(PODS)
    assert len([path for path in server.paths() if path == PODS.path]) == 2
