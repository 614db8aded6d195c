from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from wirecheck.collect.api import kubeconfig as kubeconfigs
from wirecheck.collect.api.kubeconfig import KubeconfigError, Source, choose

TOKEN = "do-not-quote-me"


def config(contexts: tuple[str, ...] = ("a", "b"), current: str = "a") -> dict[str, object]:
    return {
        "current-context": current,
        "contexts": [{"name": c, "context": {"cluster": c, "user": "u"}} for c in contexts],
        "clusters": [{"name": c, "cluster": {"server": f"https://{c}"}} for c in contexts],
        "users": [{"name": "u", "user": {"token": TOKEN}}],
    }


def write(path: Path, content: object) -> Path:
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return path


def test_the_current_context_or_the_named_one(tmp_path: Path) -> None:
    path = write(tmp_path / "c", config())
    assert choose(path, None, {}) == Source(str(path), "a")
    assert choose(path, "b", {}) == Source(str(path), "b")


def test_the_environment_may_join_several_files(tmp_path: Path) -> None:
    one = write(tmp_path / "1", config(("a",), current=""))
    two = write(tmp_path / "2", config(("b",), current="b"))
    joined = os.pathsep.join([str(one), str(tmp_path / "absent"), str(two)])
    assert choose(None, None, {"KUBECONFIG": joined}) == Source(f"{one}{os.pathsep}{two}", "b")


def test_inside_a_pod_its_own_account_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(kubeconfigs, "SERVICE_ACCOUNT", write(tmp_path / "token", "x"))
    assert choose(None, None, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}) == Source("", "in-cluster")
    with pytest.raises(KubeconfigError, match=r"no kubeconfig at .*/\.kube/config"):
        choose(None, None, {})


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a: [", "line 1 is not YAML"),
        ("users: [{user: {token: 'do-not-quote-me}}]", "is not YAML"),
        ("", "contains no configuration"),
        ("just text", "contains no configuration"),
        ("a: \x00", "cannot be read: it is not YAML text"),
        (config(current=""), "sets no current-context; .* it has a, b"),
        (config(current="c"), "has no context c; it has a, b"),
        ({"current-context": "c"}, "has no context c; it has none"),
        ({"current-context": "c", "contexts": "x"}, "has no context c"),
        ({**config(), "clusters": []}, "names the cluster a, but the file has no such cluster"),
        ({**config(), "clusters": [{"name": "a", "cluster": None}]}, "no such cluster with a"),
        ({**config(), "contexts": [{"name": "a"}]}, "names the cluster None"),
    ],
)
def test_what_is_wrong_is_said_without_quoting_the_file(
    tmp_path: Path, content: object, sentence: str
) -> None:
    path = write(tmp_path / "c", content)
    with pytest.raises(KubeconfigError, match=sentence) as caught:
        choose(path, None, {})
    assert str(path) in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match=f"no kubeconfig at {tmp_path}/absent; give one"):
        choose(tmp_path / "absent", None, {})
