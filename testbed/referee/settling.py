"""What to do about a disagreement: make it small, show it, keep it."""

from __future__ import annotations

from pathlib import Path

from testbed.commands import TestbedError
from testbed.referee import record
from testbed.referee.bench import Bench
from testbed.referee.duel import Disagreement, Places
from testbed.referee.judging import Sight
from testbed.referee.scene import Scene
from testbed.referee.shrinking import smallest

_MOST_SHOWN = 10


def settle(bench: Bench, places: Places, wrong: Disagreement, folder: Path) -> str:
    """Shrink a disagreement against the real kube-proxy and keep it; the text shows both sides.

    One that a kube-proxy without history does not show is kept as it was seen.
    """
    kinds = _kinds(wrong.sight)
    last = wrong.sight
    scene = wrong.scene

    def shows(candidate: Scene) -> bool:
        nonlocal last
        try:
            sight = _replayed(bench, places, wrong, candidate)
        except TestbedError:
            # The API refuses it, or kube-proxy does.
            return False
        if not kinds & _kinds(sight):
            return False
        last = sight
        return True

    history = ""
    if shows(scene):
        scene = smallest(scene, shows)
    else:
        history = " It needs what came before: a new kube-proxy does not show it."
    names = ", ".join(each["metadata"]["name"] for each in scene.services)
    return f"{_kept(wrong, last, folder)}{history}\nServices: {names}\n{_shown(last)}"


def as_seen(wrong: Disagreement, folder: Path) -> str:
    """Keep a disagreement as it was seen, before it is made small."""
    return f"{_kept(wrong, wrong.sight, folder)}\n{_shown(wrong.sight)}"


def _kept(wrong: Disagreement, sight: Sight, folder: Path) -> str:
    of = wrong.contestant
    path = folder / f"{of.mode}-{of.version}-{len(list(folder.glob('*')))}.json.gz"
    record.write(sight, path)
    return f"{of}: kept in {path}."


def _shown(sight: Sight) -> str:
    return "\n".join(sight.disagreements[:_MOST_SHOWN])


def _replayed(bench: Bench, places: Places, wrong: Disagreement, scene: Scene) -> Sight:
    """The scene on its own, for a kube-proxy that has seen nothing before."""
    bench.bring(None)
    with places() as place:
        bench.bring(scene)
        bench.let_play(wrong.contestant, place)
        return bench.settled(place)


def _kinds(sight: Sight) -> set[str]:
    """What is wrong, without whose it is."""
    return {each.partition(":")[0] for each in sight.disagreements}
