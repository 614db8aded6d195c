"""The registry of checks: what a check is, and where the files of the catalogue are."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar

from wirecheck.catalogue.facts import Fact
from wirecheck.catalogue.findings import Finding, Findings, Level
from wirecheck.catalogue.settling import Evidence

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

EXCEPTIONS, SOURCES = "Except:", "See:"

Scope = Literal["node", "cluster"]
Function = TypeVar("Function", bound=Callable[..., Findings])

UNREACHABLE = "unreachable"
"""The threshold of the whole run: how many nodes may be unreachable before it is incomplete."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A number that the inventory can change, with its default and the reason for the default."""

    name: str
    default: float
    unit: str
    reason: str


class HasThresholds(Protocol):
    """A node or a cluster: knows the thresholds of the inventory."""

    def threshold(self, threshold: Threshold, /) -> float:
        """Return the number from the inventory, or the default."""
        ...


class Exceeded(NamedTuple):
    """A limit that a value exceeds, and the severity of that."""

    limit: float
    level: Level


class Limits(NamedTuple):
    """Two thresholds for one value: above `warn` it is a risk, above `fail` the cluster is wrong.

    A check lists them as its `thresholds`.
    """

    warn: Threshold
    fail: Threshold

    def exceeded_by(self, value: float, subject: HasThresholds) -> Exceeded | None:
        """Return the limit that the value exceeds, or None; never fails where it would not warn."""
        if value <= (warn := subject.threshold(self.warn)):
            return None
        if value > (fail := subject.threshold(self.fail)):
            return Exceeded(fail, Level.FAIL)
        return Exceeded(warn, Level.WARN)


@dataclass(frozen=True, slots=True)
class Check:
    """One assertion of the catalogue.

    `settles` means that the check compares two things that follow each other with a delay
    (API and node, endpoints and rules). Its findings count if several rounds agree, or at once if
    the snapshot has all of the `evidence` that they are not changes in flight.
    `compares_nodes` means that it needs the fingerprints of all nodes.
    `counts` means that it yields CONCLUSIVE for each object that it could decide: a run in which it
    could decide none is incomplete.
    `only_proven` means that findings without all of the `evidence` are inconclusive.
    """

    id: str
    sentence: str
    why: str
    remedy: str
    scope: Scope
    settles: bool
    thresholds: tuple[Threshold, ...]
    function: Callable[[Any], Findings]
    """The check itself. If it `counts`, it also yields CONCLUSIVE for objects without a finding."""
    compares_nodes: bool = False
    evidence: tuple[Evidence, ...] = ()
    """All that proves a finding of a check that settles; empty if only further rounds do."""
    facts: tuple[Fact, ...] = ()
    """What it needs to know; `Fact` says how that is measured and what it costs."""
    exceptions: str = ""
    """Known situations that look like a deviation but are not."""
    sources: tuple[str, ...] = ()
    """Links to documentation of the assertion, or to reports of what happens without it."""
    counts: bool = False
    only_proven: bool = False

    def findings(self, subject: Any) -> Iterator[Finding]:
        """Yield what the check finds on a node or in a cluster."""
        return (each for each in self.function(subject) if isinstance(each, Finding))

    @property
    def group(self) -> str:
        """Return the group, which is the name of the file or folder in `checks/`."""
        return self.id.partition(".")[0]


ENTRY_POINTS = "wirecheck.checks"
"""The group of entry points with which other packages add checks."""


class CatalogueError(Exception):
    """The checks of another package cannot be added; names the package and the cause."""


_registry: dict[str, Check] = {}


def check(
    *,
    remedy: str,
    settles: bool | Iterable[Evidence] = False,
    thresholds: Iterable[Threshold] = (),
    counts: bool = False,
    compares_nodes: bool = False,
    only_proven: bool = False,
    facts: Iterable[Fact] = (),
) -> Callable[[Function], Function]:
    """Register a function that yields findings as a check, and make it a pytest test.

    The parameter is the scope: `node` gives one item per node, `cluster` one item in total.
    The first line of the docstring is the assertion in every report; the next paragraph says why
    it matters. A paragraph with `Except:` lists legitimate exceptions, one with `See:` links.
    `settles` is the evidence that a finding needs to count without further rounds, or True.
    With `only_proven` it never counts without it.
    Raises TypeError if the assertion, the reason or the remedy is missing, and if another file of
    the group defines the same check.
    """

    evidence = () if isinstance(settles, bool) else tuple(settles)

    def enter(function: Function) -> Function:
        identity = f"{group_of(Path(function.__code__.co_filename))}.{function.__name__}"
        sentence, *paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        marked = {mark: _marked(paragraphs, mark) for mark in (EXCEPTIONS, SOURCES)}
        why = " ".join(each for each in paragraphs if not each.startswith((EXCEPTIONS, SOURCES)))
        if not (sentence and why and remedy):
            raise TypeError(f"{identity} needs a sentence, a reason and a remedy.")
        known = _registry.get(identity)
        # The same file may be loaded again.
        if known and inspect.getfile(known.function) != inspect.getfile(function):
            raise TypeError(f"{identity} is defined twice.")
        entered = Check(
            id=identity,
            sentence=" ".join(sentence.split()),
            why=" ".join(why.split()),
            remedy=remedy,
            scope=_scope(identity, function),
            settles=bool(evidence) or settles is True,
            thresholds=tuple(thresholds),
            function=function,
            counts=counts,
            compares_nodes=compares_nodes,
            evidence=evidence,
            facts=tuple(facts),
            exceptions=marked[EXCEPTIONS],
            sources=tuple(marked[SOURCES].split()),
            only_proven=only_proven,
        )
        _registry[identity] = entered

        # pytest does not accept generator functions as tests, so it gets this function instead.
        @functools.wraps(function)
        def test(*args: Any, **kwargs: Any) -> Findings:
            return function(*args, **kwargs)

        test.__test__ = True  # type: ignore[attr-defined]
        test.wirecheck = entered  # type: ignore[attr-defined]
        return test  # type: ignore[return-value]

    return enter


def _marked(paragraphs: Iterable[str], mark: str) -> str:
    """Return the paragraph that begins with the mark, without the mark."""
    for each in paragraphs:
        if each.startswith(mark):
            return " ".join(each.removeprefix(mark).split())
    return ""


def _scope(identity: str, function: Callable[..., Findings]) -> Scope:
    match list(inspect.signature(function).parameters):
        case ["node"]:
            return "node"
        case ["cluster"]:
            return "cluster"
    raise TypeError(f"{identity} must take one parameter, named `node` or `cluster`.")


def catalogue_folder() -> Path:
    """Return the folder of the checks: in the installed package, else in the repository."""
    here = Path(__file__).parents[1]
    packaged = here / "checks"
    return packaged if packaged.is_dir() else here.parent / "checks"


def catalogue_files() -> tuple[Path, ...]:
    """Return the files of the catalogue. A large group is a folder of files."""
    folder = catalogue_folder()
    found = (*folder.glob("*.py"), *folder.glob("*/*.py"))
    return tuple(sorted(each for each in found if each.stem != "__init__"))


def group_of(file: Path) -> str:
    """Return the group of the checks in a file: the name of the file, or of its folder.

    >>> group_of(catalogue_folder() / "dns" / "answers.py")
    'dns'
    """
    return file.parent.name if file.parent.parent == catalogue_folder() else file.stem


def module_name(file: Path) -> str:
    """Return the name under which a file of the catalogue is imported."""
    words = file.relative_to(catalogue_folder()).with_suffix("").parts
    return ".".join(("wirecheck.checks", *words))


def load() -> tuple[Check, ...]:
    """Return every check of the catalogue, ordered by file and line."""
    for path in catalogue_files():
        name = module_name(path)
        if name in sys.modules:
            continue
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise ImportError(f"{path} cannot be loaded as a module of checks.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module
        spec.loader.exec_module(module)
    _load_others()
    return tuple(_registry.values())


@functools.cache
def _load_others() -> None:
    """Load the checks of other installed packages, ordered by the names of their groups.

    Raises CatalogueError if a group already exists, or a module cannot be imported.
    """
    # Most commands load no checks, and this import takes a tenth of a second.
    from importlib.metadata import entry_points  # noqa: PLC0415

    own = map(group_of, catalogue_files())
    taken: dict[str, str] = dict.fromkeys(own, "wirecheck itself")
    for point in sorted(entry_points(group=ENTRY_POINTS), key=_order):
        package = point.dist.name if point.dist else point.value
        if point.name != point.module.rpartition(".")[2]:
            raise CatalogueError(
                f"The package {package} adds checks as `{point.name}`, but check ids begin with "
                "the name of the file. Rename the entry point to "
                f"`{point.module.rpartition('.')[2]}`."
            )
        if point.name in taken:
            raise CatalogueError(
                f"The package {package} adds checks to the group {point.name}, which belongs to "
                f"{taken[point.name]}. Rename its module."
            )
        taken[point.name] = package
        try:
            point.load()
        except Exception as error:
            raise CatalogueError(
                f"The checks of the package {package} cannot be imported ({point.value}): "
                f"{type(error).__name__}: {error}. Fix or uninstall the package."
            ) from error


def _order(point: EntryPoint) -> tuple[str, str]:
    return point.name, point.value
