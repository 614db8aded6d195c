"""The referee's bench: an API that is brought from scene to scene, and a node that follows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from testbed.commands import TestbedError
from testbed.referee.api_writer import ApiWriter
from testbed.referee.judging import Sight, look
from testbed.referee.kube_proxy import Contestant, settings
from testbed.referee.place import Place
from testbed.referee.scene import Scene, steps


@dataclass
class Bench:
    """One API, one node at a time."""

    kubeconfig: Path
    writer: ApiWriter
    scene: Scene | None = None
    patience: float = 120.0
    """Seconds that kube-proxy has for one scene."""
    looks: int = 4
    """How often in a row a disagreement must be seen, while kube-proxy says that it is done."""

    @classmethod
    def at(cls, kubeconfig: Path, namespace: str) -> Bench:
        """A bench with nothing on it."""
        writer = ApiWriter(kubeconfig)
        writer.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
        return cls(kubeconfig, writer)

    def bring(self, scene: Scene | None) -> None:
        """Bring the API from what it holds to another scene; None for nothing at all."""
        if scene is None:
            self.writer.delete_all()
        else:
            for step in steps(self.scene, scene):
                getattr(self.writer, step.action)(step.object)
        self.scene = scene

    def let_play(self, contestant: Contestant, place: Place) -> None:
        """Start kube-proxy at a place; the API must hold its node."""
        text = settings(contestant, place.kubeconfig(self.kubeconfig))
        place.start(contestant.version, text)

    def settled(self, place: Place) -> Sight:
        """The first look without a disagreement, or the last of several with the same one.

        Raises TestbedError where kube-proxy does not synchronise.
        """
        limit = time.monotonic() + self.patience
        before: tuple[str, ...] = ()
        same = 0
        while time.monotonic() < limit:
            sight = look(place, self.kubeconfig, self.patience)
            if not sight.disagreements:
                return sight
            is_same = sight.is_synchronised and sight.disagreements == before
            same = same + 1 if is_same else 0
            if same >= self.looks:
                return sight
            before = sight.disagreements
            time.sleep(0.3)
        raise TestbedError(
            f"kube-proxy does not synchronise within {self.patience:.0f} s: "
            f"{'; '.join(before[:2])}; it said: {place.log()}"
        )
