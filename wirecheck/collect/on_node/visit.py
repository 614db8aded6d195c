"""The visit: one look at everything, in order, and one document on standard output."""

import base64
import hashlib
import json
import os
import resource
import signal
import sys
import time
import zlib
from typing import Any, Callable, Dict, List

from wirecheck.collect.on_node import (
    boot_settings,
    cni_files,
    commands,
    device_managers,
    kernel,
    kube_proxy,
    kubelet,
    new_connections,
    pod_files,
    rule_blocks,
    traffic,
)
from wirecheck.collect.on_node.contacts import Contact, Contacts, message_of, request_of
from wirecheck.collect.on_node.deadline import Deadline
from wirecheck.collect.on_node.lifeline import hold_on
from wirecheck.collect.on_node.namespaces import NEEDED, Namespaces, enter, read_all
from wirecheck.collect.on_node.probes import Limits, Loop, Probe
from wirecheck.collect.on_node.processes import mounted_namespaces, netns_of, scan

FORMAT = 1
NOT_ROOT = 68
MARKER = "wirecheck-document"
MOST_NAT_LOOKS = 20
LEAST_LISTENING = 0.3
"""Seconds; else as long as the window of the counters still is."""
CACHE_DEVICE = "nodelocaldns"
NAT_TARGETS = ("REDIRECT", "DNAT", "TPROXY")

Record = Dict[str, Any]


class Visit:
    """What is seen, piece by piece; what cannot be seen becomes a sentence in `problems`."""

    def __init__(self, plan: Record) -> None:
        self.plan = plan
        self.deadline = Deadline(plan["deadline"])
        self.problems: List[str] = []
        self.document: Record = {
            "format": FORMAT,
            "program": plan["program"],
            "started": time.time(),
        }

    def attempt(self, what: str, stage: Callable[[], None]) -> None:
        """Run a stage if there is time for it; its failure is no reason to give up the rest."""
        if self.deadline.left() <= 0:
            self.problems.append("%s: not looked at, the time was over." % what)
            return
        began = time.monotonic()
        try:
            stage()
        except Exception as error:
            self.problems.append("%s: %s: %s." % (what, type(error).__name__, error))
        seconds = self.document.setdefault("seconds", {})
        seconds[what] = round(seconds.get(what, 0.0) + time.monotonic() - began, 4)

    def sample_conntrack(self) -> None:
        """Note the counters; a kernel without conntrack has none."""
        if os.path.exists(kernel.CONNTRACK_STATISTICS):
            self.document.setdefault("conntrack", []).append(kernel.conntrack_sample())

    def look_at_namespaces(self) -> None:
        """Find the pods and read every netns."""
        self.namespaces = Namespaces()
        if self.namespaces.problem:
            self.problems.append(self.namespaces.problem)
        self.processes = scan()
        if self.processes.denied:
            self.document["closed_processes"] = self.processes.denied
            self.problems.append(
                "%d processes are closed to the program: it needs %s."
                % (self.processes.denied, NEEDED)
            )
        mounted = mounted_namespaces()
        self.document["namespaces"] = read_all(self.namespaces, self.processes, mounted)
        self.netns = {
            uid: netns_of(inodes, self.namespaces.host)
            for uid, inodes in self.processes.pods.items()
        }

    def look_at_pods(self) -> None:
        """Each pod with its netns and its resolv.conf."""
        pids = {
            uid: [pid for each in inodes.values() for pid in each]
            for uid, inodes in self.processes.pods.items()
        }
        files = pod_files.read_all(pids, min(20.0, self.deadline.left()))
        self.document["pods"] = [
            {
                "uid": uid,
                "inode": self.netns[uid],
                "runtime": self.processes.runtimes[uid],
                "processes": self.processes.members[uid],
                "resolv_conf": files[uid],
            }
            for uid in sorted(pids)
        ]

    def probe(self) -> None:
        """Ask DNS from every pod's netns and from the node's own."""
        dns = self.plan["dns"]
        probes = [
            probe
            for each in dns["node"] + self._asked_of_the_cache()
            for probe in self._probes(self.namespaces.host, each)
        ]
        silent = {self._inode_of(uid) for uid in dns["left_out"]} | {self.namespaces.host}
        for inode in sorted(set(self.netns.values()) - silent):
            probes += self._probes_from_pod(inode, dns["pods"])
        for uid in dns["pair_sources"]:
            probes += self._probes_from_pod(self._inode_of(uid), dns["pairs"])
        Loop(self.namespaces, Limits(dns["rate"], dns["timeout"]), self.deadline).run(probes)
        self.document["probes"] = [each.record for each in probes]

    def _probes_from_pod(self, inode: int, asked: List[Record]) -> List[Probe]:
        """To the first server in any case, to the others where the pod has their family."""
        if inode not in self.namespaces.descriptors or inode == self.namespaces.host:
            return []
        return [
            probe
            for each in asked
            if each["server"] == asked[0]["server"] or self._has_family(inode, each["server"])
            for probe in self._probes(inode, each)
        ]

    def _probes(self, inode: int, asked: Record) -> List[Probe]:
        """One with several tries, or as many as are to be sent, each with a single try."""
        dns = self.plan["dns"]
        identities = [asked["query"], asked.get("second")]
        wires = [base64.b64decode(dns["queries"][each]) for each in identities if each]
        times = asked.get("times", 0)
        tries = 1 if times else dns["tries"]
        return [Probe(inode, asked, wires, tries) for _ in range(times or 1)]

    def _asked_of_the_cache(self) -> List[Record]:
        """What is asked of NodeLocal DNSCache, at addresses that only its device has."""
        own = self.document["namespaces"][0]
        indexes = [each["index"] for each in own.get("links", ()) if each["name"] == CACHE_DEVICE]
        asked = self.plan["dns"]["pods"]
        servers = {each["server"] for each in asked}
        return [
            dict(each, server=address["address"], port=53, purpose="local cache")
            for address in own.get("addresses", ())
            if address["index"] in indexes and address["address"] not in servers
            for each in asked
            if each["server"] == asked[0]["server"]
        ]

    def _has_family(self, inode: int, server: str) -> bool:
        """Whether the netns has an address from which the server could be asked."""
        return any(
            (":" in address["address"]) == (":" in server) and address["scope"] == "global"
            for record in self.document["namespaces"]
            if record["inode"] == inode
            for address in record.get("addresses", ())
        )

    def contact(self) -> None:
        """Connect to nodes, pods and Services, from the node and from one pod or a few."""
        asked = self.plan.get("contacts")
        if asked is None:
            return
        message, request = message_of(asked), request_of(asked)
        contacts = [
            Contact(inode, each, message, request)
            for each in asked["contacts"]
            for inode in [self._inode_of(each["source"])]
            if inode in self.namespaces.descriptors and self._has_family(inode, each["address"])
        ]
        Contacts(self.namespaces, asked["timeout"], self.deadline).run(contacts)
        self.document["contacts"] = [each.record for each in contacts]

    def _inode_of(self, source: str) -> int:
        """The netns of the pod with this uid; the node's own where there is none."""
        return self.netns.get(source, 0) if source else self.namespaces.host

    def look_for_redirects(self) -> None:
        """Where a pod got no answer: nat rules of its own, as a service mesh puts them there."""
        silent = []
        for probe in self.document.get("probes", ()):
            tries = probe["tries"]
            if tries and "answer" not in tries[-1] and probe["inode"] not in silent:
                silent.append(probe["inode"])
        records = {record["inode"]: record for record in self.document["namespaces"]}
        for inode in silent[:MOST_NAT_LOOKS]:
            if inode != self.namespaces.host:
                rules = self._nat_rules(inode)
                if rules:
                    records[inode]["redirect"] = rules

    def _nat_rules(self, inode: int) -> str:
        with self.namespaces.inside(inode):
            legacy = "nat" in commands.legacy_tables()
        identity = "pod-nat-legacy" if legacy else "pod-nat"
        descriptor = self.namespaces.descriptors[inode]
        limit = min(3.0, self.deadline.left())
        output = commands.run(identity, limit, lambda: enter(descriptor)).get("output", "")
        return "".join(
            line + "\n"
            for line in output.splitlines()
            if line.startswith("-A") and any(target in line for target in NAT_TARGETS)
        )[:4000]

    def look_at_kernel(self) -> None:
        """Sysctls, and other small files."""
        ports = {
            link["name"]
            for link in self.document.get("namespaces", [{}])[0].get("links", ())
            if "master" not in link
        }
        self.document["files"] = kernel.read_files(sorted(ports), self.problems)

    def look_at_kubelet(self) -> None:
        """What the kubelet tells pods of DNS."""
        self.document["kubelet"] = kubelet.read()

    def look_at_boot_settings(self) -> None:
        """What the files say that the next boot applies."""
        self.document["boot_settings"] = boot_settings.read_all()

    def look_at_device_managers(self) -> None:
        """Programs that may take hold of the devices of CNI plugins."""
        self.document["device_managers"] = device_managers.read_all()

    def sample_traffic(self) -> None:
        """Note what was lost so far by the interfaces that have an address."""
        own = self.document["namespaces"][0]
        addresses = own.get("addresses", ())
        indexes = {each["index"] for each in addresses if each["scope"] == "global"}
        names = [each["name"] for each in own.get("links", ()) if each["index"] in indexes]
        self.document.setdefault("traffic", []).append(traffic.sample(names))

    def listen_to_new_connections(self) -> None:
        """As long as there is to be waited anyway; a kernel without conntrack has none."""
        if os.path.exists(kernel.CONNTRACK_STATISTICS):
            seconds = min(max(LEAST_LISTENING, self._left_of_the_window()), self.deadline.left())
            self.document["new_connections"] = new_connections.listen(seconds)

    def _left_of_the_window(self) -> float:
        samples = self.document.get("conntrack")
        return samples[0]["time"] + self.plan["window"] - time.time() if samples else 0.0

    def look_at_log(self) -> None:
        """Lines of the kernel's log."""
        self.document["kernel_log"] = kernel.read_log()

    def look_at_cni(self) -> None:
        """What the CNI plugins go by."""
        self.document["cni"] = cni_files.read_all()

    def look_at_kube_proxy(self) -> None:
        """kube-proxy's own view of itself."""
        self.document["http"] = kube_proxy.ask_all()

    def list_connections(self) -> None:
        """Entries of clients, before the probes add theirs."""
        addresses = self.plan["dns"]["addresses"]
        self.document["commands"] = commands.list_connections(addresses, self.deadline)

    def list_rules(self) -> None:
        """The rules that packets meet on the node."""
        self.document.setdefault("commands", {}).update(commands.list_rules(self.deadline))

    def cut_into_blocks(self) -> None:
        """Rules that other nodes have as well are sent in blocks, and only where they are new."""
        asked = self.plan.get("blocks")
        if asked is not None:
            records = self.document.get("commands", {}).values()
            self.document["blocks"] = rule_blocks.cut(records, asked)

    def wait_for_the_window(self) -> None:
        """Counters are judged by how much they grow: leave them time to."""
        time.sleep(max(0.0, min(self._left_of_the_window(), self.deadline.left())))
        self.sample_conntrack()


def look(plan: Record) -> Record:
    """Everything the plan asks for."""
    visit = Visit(plan)
    visit.document["host"] = kernel.describe_host()
    for what, stage in (
        ("Conntrack counters", visit.sample_conntrack),
        ("Network namespaces", visit.look_at_namespaces),
        ("Traffic", visit.sample_traffic),
        ("Connections", visit.list_connections),
        ("Pods", visit.look_at_pods),
        ("Sysctls", visit.look_at_kernel),
        ("DNS", visit.probe),
        ("Contacts", visit.contact),
        ("Redirects in pods", visit.look_for_redirects),
        ("Rules", visit.list_rules),
        ("Blocks of rules", visit.cut_into_blocks),
        ("kube-proxy", visit.look_at_kube_proxy),
        ("kubelet", visit.look_at_kubelet),
        ("CNI files", visit.look_at_cni),
        ("Settings at the next boot", visit.look_at_boot_settings),
        ("Device managers", visit.look_at_device_managers),
        ("Kernel log", visit.look_at_log),
        ("New connections", visit.listen_to_new_connections),
        ("Traffic", visit.sample_traffic),
        ("Conntrack counters", visit.wait_for_the_window),
    ):
        visit.attempt(what, stage)
    visit.document["problems"] = visit.problems
    visit.document["finished"] = time.time()
    return visit.document


def framed(document: Record) -> str:
    """The document as text that shows whether it arrived whole."""
    data = json.dumps(document, separators=(",", ":"), ensure_ascii=True).encode("ascii")
    body = base64.b64encode(zlib.compress(data, 6)).decode("ascii")
    digest = hashlib.sha256(body.encode("ascii")).hexdigest()
    return "\n%s %d %d %s\n%s\n%s-end\n" % (MARKER, FORMAT, len(body), digest, body, MARKER)


def main(plan: Record) -> None:
    """Run the visit with low priority, and print its document."""
    if os.geteuid() != 0:
        # Without it most of the node stays closed, and every pod would seem to be missing.
        sys.exit(NOT_ROOT)
    os.nice(10)
    hold_on()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    frame = framed(look(plan))
    signal.setitimer(signal.ITIMER_REAL, 60)  # to hand it over
    sys.stdout.write(frame)
    sys.stdout.flush()
