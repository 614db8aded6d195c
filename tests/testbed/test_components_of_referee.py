"""kube-proxies of other versions are modules of their own."""

import pytest

from testbed.commands import TestbedError
from testbed.components_of_referee import module_file, program_of

UPSTREAM = """module k8s.io/kubernetes

go 1.26.0

require k8s.io/api v0.0.0

replace (
\tk8s.io/api => ./staging/src/k8s.io/api
\tk8s.io/kubelet => ./staging/src/k8s.io/kubelet
)
"""


def test_parts_in_folders_become_modules_of_the_same_release():
    text = module_file("1.36.3", UPSTREAM)
    assert "go 1.26.0" in text
    assert "require k8s.io/kubernetes v1.36.3" in text
    assert "\tk8s.io/api => k8s.io/api v0.36.3\n" in text
    assert "\tk8s.io/kubelet => k8s.io/kubelet v0.36.3\n" in text
    assert "./staging" not in text


def test_another_layout_is_refused():
    with pytest.raises(TestbedError, match="cannot be parsed"):
        module_file("1.40.0", "module k8s.io/kubernetes\n\ngo 1.30\n")


def test_the_test_clusters_own_version_has_the_usual_name():
    assert program_of("1.34.4") == "kube-proxy"
    assert program_of("1.36.3") == "kube-proxy-1.36.3"
