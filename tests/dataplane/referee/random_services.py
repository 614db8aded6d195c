"""Random Services and EndpointSlices, with everything that kube-proxy reads of them."""

import random

ZONES = ("zone-a", "zone-b")
NODES = ("here", "there", "far")
NODE_ADDRESSES = ("172.31.0.10", "fd00:31::10")

POLICIES = ("Cluster", "Cluster", "Local")
PROTOCOLS = ("TCP", "TCP", "UDP", "SCTP")
RANGES = {
    4: (
        "203.0.113.0/24",
        "10.244.1.0/25",
        "10.0.0.0/8",
        "198.51.100.7/32",
        "172.31.0.0/16",
        "0.0.0.0/0",
    ),
    6: ("2001:db8:1::/48", "fd00:10:244::/56", "fd00:31::/64", "::/0"),
}


def node(zone: str = "zone-a") -> dict:
    """The node that kube-proxy runs on."""
    return {
        "metadata": {
            "name": "here",
            "uid": "here",
            "labels": {"topology.kubernetes.io/zone": zone} if zone else {},
        },
        "spec": {"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00:10:244:1::/64"]},
        "status": {
            "addresses": [{"type": "InternalIP", "address": each} for each in NODE_ADDRESSES]
        },
    }


class RandomServices:
    """Objects from one seed."""

    def __init__(self, seed: int, count: int = 60) -> None:
        self.random = random.Random(seed)
        self.node_port = 30000
        self.services: list[dict] = []
        self.slices: list[dict] = []
        for number in range(count):
            self._add(number)

    def objects(self) -> dict[str, list[dict]]:
        zone = self.random.choice(("zone-a", "zone-a", "zone-b", ""))
        return {
            "services": self.services,
            "endpointslices": self.slices,
            "nodes": [node(zone)],
            "servicecidrs": [],
        }

    def _chance(self, part: float) -> bool:
        return self.random.random() < part

    def _add(self, number: int) -> None:
        name = f"service-{number}"
        families = self.random.choice(((4,), (4,), (6,), (4, 6), (6, 4)))
        kind = self.random.choice(("ClusterIP", "ClusterIP", "NodePort", "LoadBalancer"))
        ports = self._ports(kind)
        addresses = [self._cluster_ip(number, family) for family in families]
        labels = {}
        if self._chance(0.04):
            labels["service.kubernetes.io/service-proxy-name"] = "other"
        annotations = {}
        if self._chance(0.3):
            key = self.random.choice(("topology-mode", "topology-aware-hints"))
            value = self.random.choice(("Auto", "auto", "disabled", "Disabled"))
            annotations[f"service.kubernetes.io/{key}"] = value
        spec = {
            "type": kind,
            "clusterIP": addresses[0],
            "clusterIPs": addresses,
            "ipFamilies": [f"IPv{family}" for family in families],
            "ipFamilyPolicy": "RequireDualStack" if len(families) > 1 else "SingleStack",
            "internalTrafficPolicy": self.random.choice(POLICIES),
            "sessionAffinity": "None",
            "ports": ports,
        }
        status: dict = {"loadBalancer": {}}
        if self._chance(0.25):
            spec["sessionAffinity"] = "ClientIP"
            timeout = self.random.choice((1, 600, 10800, 86400))
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": timeout}}
        if self._chance(0.3):
            spec["externalIPs"] = self._some(f"198.18.{number}.{{}}", f"fd00:e:{number}::{{}}")
            if self._chance(0.2):
                spec["externalIPs"].append(NODE_ADDRESSES[0])
        if kind != "ClusterIP" or "externalIPs" in spec:
            spec["externalTrafficPolicy"] = self.random.choice(POLICIES)
        if kind == "LoadBalancer":
            status["loadBalancer"]["ingress"] = self._ingress(number)
            if self._chance(0.5):
                spec["loadBalancerSourceRanges"] = self._ranges()
            if spec["externalTrafficPolicy"] == "Local":
                spec["healthCheckNodePort"] = self._node_port()
        if self._chance(0.06):
            self._make_headless(spec)
        self.services.append(
            {
                "metadata": {
                    "name": name,
                    "namespace": "random",
                    "uid": name,
                    "labels": labels,
                    "annotations": annotations,
                },
                "spec": spec,
                "status": status,
            }
        )
        for family in families:
            self._add_slices(name, number, family, ports)

    def _make_headless(self, spec: dict) -> None:
        if self._chance(0.5):
            spec.update(clusterIP="None", clusterIPs=["None"], type="ClusterIP")
        else:
            spec.update(type="ExternalName", externalName="www.example.test")
            del spec["clusterIP"], spec["clusterIPs"]
        spec.pop("externalIPs", None)

    def _cluster_ip(self, number: int, family: int) -> str:
        return (
            f"10.96.{number // 200}.{number % 200 + 1}"
            if family == 4
            else f"fd00:96::{number + 1:x}"
        )

    def _ports(self, kind: str) -> list[dict]:
        if self._chance(0.4):
            return [self._port("", 80, "TCP", kind)]
        ports = []
        for at in range(self.random.randint(1, 3)):
            protocol = self.random.choice(PROTOCOLS)
            number = 53 if protocol == "UDP" and at == 0 else 8000 + at
            ports.append(self._port(f"p{at}", number, protocol, kind))
        return ports

    def _port(self, name: str, number: int, protocol: str, kind: str) -> dict:
        port = {"port": number, "protocol": protocol, "targetPort": "named"}
        if name:
            port["name"] = name
        if kind != "ClusterIP" and self._chance(0.85):
            port["nodePort"] = self._node_port()
        return port

    def _node_port(self) -> int:
        self.node_port += 1
        return self.node_port

    def _some(self, *templates: str) -> list[str]:
        found = [
            template.format(at) for template in templates for at in range(1, 3) if self._chance(0.6)
        ]
        return found or [templates[0].format(9)]

    def _ingress(self, number: int) -> list[dict]:
        ingress: list[dict] = []
        for address in self._some(f"198.19.{number}.{{}}", f"fd00:1b:{number}::{{}}"):
            mode = self.random.choice(({}, {"ipMode": "VIP"}, {"ipMode": "Proxy"}))
            ingress.append({"ip": address, **mode})
        if self._chance(0.2):
            ingress.append({"hostname": "lb.example.test"})
        return ingress if self._chance(0.9) else []

    def _ranges(self) -> list[str]:
        family = self.random.choice((4, 4, 6))
        ranges = self.random.sample(RANGES[family], self.random.randint(1, 3))
        if self._chance(0.3):
            ranges += self.random.sample(RANGES[10 - family], 1)
        return [f" {each}" if self._chance(0.1) else each for each in ranges]

    def _add_slices(self, name: str, number: int, family: int, ports: list[dict]) -> None:
        style = self.random.choice(("usual", "usual", "usual", "none", "terminating", "unready"))
        hints = self.random.choice(("", "", "zone", "node", "partial", "both"))
        for part in range(self.random.randint(1, 2)):
            target = 8080 + part * self.random.randint(0, 1)
            endpoints = [
                self._endpoint(number, family, part * 5 + at, style, hints)
                for at in range(0 if style == "none" else self.random.randint(0, 5))
            ]
            if self._chance(0.1) and endpoints:
                endpoints.append(dict(endpoints[0]))
            self.slices.append(
                {
                    "metadata": {
                        "name": f"{name}-{family}-{part}",
                        "namespace": "random",
                        "uid": f"{name}-{family}-{part}",
                        "labels": {"kubernetes.io/service-name": name},
                    },
                    "addressType": f"IPv{family}",
                    "endpoints": endpoints,
                    "ports": [
                        {
                            "name": port.get("name", ""),
                            "port": target + at,
                            "protocol": port["protocol"],
                        }
                        for at, port in enumerate(ports)
                    ]
                    + (
                        [{"name": "unused", "port": 1, "protocol": "TCP"}]
                        if self._chance(0.2)
                        else []
                    ),
                }
            )

    def _endpoint(self, number: int, family: int, at: int, style: str, hints: str) -> dict:
        node = self.random.choice(NODES)
        subnet = NODES.index(node) + 1
        address = (
            f"10.{110 + subnet}.{number}.{at + 2}"
            if family == 4
            else f"fd00:10:244:{subnet}:{number:x}::{at + 2:x}"
        )
        endpoint: dict = {"addresses": [address], "conditions": self._conditions(style)}
        if self._chance(0.95):
            endpoint["nodeName"] = node
        endpoint["zone"] = self.random.choice(ZONES)
        if hints and not (hints == "partial" and self._chance(0.3)):
            endpoint["hints"] = {}
            if hints != "node":
                zones = self.random.sample(ZONES, self.random.randint(1, 2))
                endpoint["hints"]["forZones"] = [{"name": each} for each in zones]
            if hints in ("node", "both"):
                nodes = self.random.sample(NODES, self.random.randint(1, 2))
                endpoint["hints"]["forNodes"] = [{"name": each} for each in nodes]
        return endpoint

    def _conditions(self, style: str) -> dict:
        ready = {"ready": True, "serving": True, "terminating": False}
        unready = {"ready": False, "serving": False, "terminating": False}
        draining = {"ready": False, "serving": True, "terminating": True}
        ending = {"ready": False, "serving": False, "terminating": True}
        return self.random.choice(
            {
                "usual": (ready, ready, ready, {}, unready, draining),
                "terminating": (draining, ending),
                "unready": (unready, ending),
                "none": ({},),
            }[style]
        )
