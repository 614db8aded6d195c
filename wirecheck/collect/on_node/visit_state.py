"""What the stages of a visit share: the plan, the deadline, and what was read so far."""

import time
from typing import Any, Dict, List, Optional, Set

from wirecheck.collect.on_node.deadline import Deadline
from wirecheck.collect.on_node.namespaces import Namespaces
from wirecheck.collect.on_node.processes import Processes

JsonObject = Dict[str, Any]


class VisitState:
    """The visit so far. What cannot be read becomes a sentence in `problems`."""

    def __init__(self, plan: JsonObject, document: JsonObject) -> None:
        self.plan = plan
        self.document = document
        self.deadline = Deadline(plan["deadline"])
        self.problems: List[str] = []
        self.namespaces: Namespaces
        self.processes: Processes
        self.netns: Dict[str, int] = {}
        """The inode of each pod's netns, by the pod's uid."""
        self.stage_limit: Optional[float] = None
        self._families: Dict[int, Set[bool]] = {}

    def limit(self) -> float:
        """Seconds that the running stage may wait for one thing."""
        left = self.deadline.left()
        return left if self.stage_limit is None else min(self.stage_limit, left)

    def left_of_the_window(self) -> float:
        """Seconds until the two samples of conntrack's counters are far enough apart."""
        samples = self.document.get("conntrack")
        return samples[0]["time"] + self.plan["window"] - time.time() if samples else 0.0

    def inode_of(self, source: str) -> int:
        """The netns of the pod with this uid; the node's own if `source` is empty."""
        return self.netns.get(source, 0) if source else self.namespaces.host

    def has_family(self, inode: int, server: str) -> bool:
        """Whether the netns has an address of the server's family, so that it can send there."""
        if not self._families:
            self._families = {
                record["inode"]: {
                    ":" in address["address"]
                    for address in record.get("addresses", ())
                    if address["scope"] == "global"
                }
                for record in self.document["namespaces"]
            }
        return (":" in server) in self._families.get(inode, ())

    def interfaces_with_addresses(self) -> List[str]:
        """The node's own interfaces that have a global address."""
        own = self.document["namespaces"][0]
        addresses = own.get("addresses", ())
        indexes = {each["index"] for each in addresses if each["scope"] == "global"}
        return [each["name"] for each in own.get("links", ()) if each["index"] in indexes]

    def ports(self) -> List[str]:
        """The node's own interfaces that no bridge or bond owns."""
        own = self.document.get("namespaces", [{}])[0]
        return sorted({link["name"] for link in own.get("links", ()) if "master" not in link})
