"""Scripts of scenarios are followed as far as they change objects and compare maps."""

from pathlib import Path

import pytest

from testbed.commands import TestbedError
from testbed.referee.cilium_scenarios import play_all, scenarios

SCRIPT = """#! --kube-proxy-replacement=true
# Two endpoints, of which the second one terminates later.
hive start
db/insert node-addresses address.yaml
cp slice.yaml.tmpl slice.yaml
replace '$READY' 'true' slice.yaml
k8s/add service.yaml slice.yaml
lb/maps-dump maps.actual
* cmp both.expected maps.actual

sed 'READY: .*' 'READY: "no"' slice.yaml
cp slice.yaml.tmpl slice.yaml
replace '$READY' 'false' slice.yaml
[privileged] k8s/update slice.yaml
* cmp one.expected maps.actual
cmp both.expected maps.actual

k8s/delete service.yaml
hive/recreate --kube-proxy-replacement=false
* cmp wrong.expected maps.actual
! cmp unquoted ' string

-- address.yaml --
addr: 192.0.2.1
nodeport: true
-- service.yaml --
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop, annotations: null}
spec:
  type: ClusterIP
  clusterIP: 10.96.0.20
  clusterIPs: [10.96.0.20]
  ipFamilies: [IPv4]
  ports: [{name: http, port: 80, protocol: TCP, targetPort: 8080}]
-- slice.yaml.tmpl --
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints:
- {addresses: [10.244.1.2], conditions: {ready: true}, nodeName: testnode}
- {addresses: [10.244.2.2], conditions: {ready: $READY}, nodeName: other}
-- both.expected --
BE: ID=1 ADDR=10.244.1.2:8080/TCP STATE=active
BE: ID=2 ADDR=10.244.2.2:8080/TCP STATE=active
MAGLEV: ID=1 INNER=[1(511), 2(510)]
REV: ID=1 ADDR=10.96.0.20:80
SVC: ID=1 ADDR=10.96.0.20:80/TCP SLOT=0 LBALG=undef AFFTimeout=0 COUNT=2 QCOUNT=0 FLAGS=ClusterIP
SVC: ID=1 ADDR=10.96.0.20:80/TCP SLOT=1 BEID=1 COUNT=0 QCOUNT=0 FLAGS=ClusterIP
SVC: ID=1 ADDR=10.96.0.20:80/TCP SLOT=2 BEID=2 COUNT=0 QCOUNT=0 FLAGS=ClusterIP
-- one.expected --
BE: ID=1 ADDR=10.244.1.2:8080/TCP STATE=active
REV: ID=1 ADDR=10.96.0.20:80
SVC: ID=1 ADDR=10.96.0.20:80/TCP SLOT=0 LBALG=undef AFFTimeout=0 COUNT=1 QCOUNT=0 FLAGS=ClusterIP
SVC: ID=1 ADDR=10.96.0.20:80/TCP SLOT=1 BEID=1 COUNT=0 QCOUNT=0 FLAGS=ClusterIP
-- wrong.expected --
BE: ID=1 ADDR=10.244.1.2:8080/TCP STATE=active
REV: ID=1 ADDR=10.96.0.20:80
SVC: ID=1 ADDR=10.96.0.20:80/TCP SLOT=0 LBALG=undef AFFTimeout=0 COUNT=1 QCOUNT=0 FLAGS=ClusterIP
SVC: ID=1 ADDR=10.96.0.20:80/TCP SLOT=1 BEID=1 COUNT=0 QCOUNT=0 FLAGS=ClusterIP
"""


def test_each_step_is_compared_with_its_objects(tmp_path: Path) -> None:
    (tmp_path / "rollout.txtar").write_text(SCRIPT)
    both, one, wrong = play_all(tmp_path)
    assert (both.name, both.compared, both.differences) == ("rollout both.expected", 1, ())
    assert (one.name, one.differences) == ("rollout one.expected", ())
    (stale,) = wrong.differences
    assert stale.startswith("frontend stale: 10.96.0.20:80/tcp for pods on this node\n")


def test_what_a_scenario_has_otherwise_is_a_difference(tmp_path: Path) -> None:
    (tmp_path / "rollout.txtar").write_text(SCRIPT.replace("COUNT=2", "COUNT=1"))
    first, *_ = play_all(tmp_path)
    assert [each.partition(":")[0] for each in first.differences] == ["backend missing"]


def test_scenarios_about_what_the_api_cannot_have_are_left_out(tmp_path: Path) -> None:
    for name in ("rollout", "quarantined"):
        (tmp_path / f"{name}.txtar").write_text(SCRIPT)
    assert [each.name for each, _ in scenarios(tmp_path)] == ["rollout"]


def test_a_folder_without_scenarios_proves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TestbedError, match="no scenario"):
        list(play_all(tmp_path))
