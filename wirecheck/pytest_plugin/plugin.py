"""pytest's entry point: the options, and the moment when the first check is collected.

Every project in an environment where wirecheck is installed loads this module, so it is light
and does nothing there: the rest is loaded by the first check.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Generator, Sequence
from pathlib import Path
from types import ModuleType

import pytest

from wirecheck.catalogue.former_ids import former_id, warn_of_ids
from wirecheck.catalogue.profiles import PATHS, PROFILES, profiles_of
from wirecheck.catalogue.registry import (
    Check,
    catalogue_files,
    catalogue_folder,
    load,
    module_name,
)
from wirecheck.pytest_plugin.options import (
    OPTIONS,
    add_options,
    given,
    on_command_line,
    refuse_configuration_of_snapshot,
    refuse_workers,
)

PACKAGE = "wirecheck.checks"
SESSION = "wirecheck.pytest_plugin.session"


@pytest.hookimpl(trylast=True)
def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options on the command line, after every other plugin: they decide on conftests."""
    config = pluginmanager.get_plugin("pytestconfig")
    words = () if config is None else config.invocation_params.args
    add_options(parser, on_command_line(words))


def pytest_configure(config: pytest.Config) -> None:
    """Register the profiles as markers."""
    for profile in PROFILES.values():
        config.addinivalue_line("markers", f"{profile.name}: wirecheck's checks {profile.when}")


@pytest.hookimpl(wrapper=True)
def pytest_load_initial_conftests(parser: pytest.Parser) -> Generator[None, None, None]:
    """Add the other options after conftests: one of them may have an option of that name."""
    yield
    add_options(parser, OPTIONS)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run the catalogue for `pytest --inventory F` anywhere, and `--pyargs wirecheck.checks`."""
    if config.option.pyargs:
        config.args = [_located(argument) for argument in config.args]
    options = given(config)
    if not options:
        return
    refuse_workers(config)
    refuse_configuration_of_snapshot(config.inipath, options.get("snapshot"))
    if config.inipath is None and config.option.rootdir is None:
        # pytest took the inventory for a test file, and would keep its cache beside it.
        config._rootpath = config.invocation_params.dir
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        config.args = [str(catalogue_folder())]


class Catalogue(pytest.Module):
    """A file of the catalogue: imported as `wirecheck.checks.…`, whatever pytest's import mode.

    In the usual mode `dns.py` would stand in the way of the library of that name.
    """

    def _getobj(self) -> ModuleType:
        load()
        return sys.modules[module_name(self.path)]


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Catalogue | None:
    """Leave all other files to pytest."""
    return _catalogue(module_path, parent)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Collect the catalogue's files even if `python_files` does not match them."""
    collectors = yield
    if not collectors and (found := _catalogue(file_path, parent)):
        return [found]
    return collectors


def pytest_itemcollected(item: pytest.Item) -> None:
    """`pytest -m upgrade` selects the checks of a profile, `pytest -k` those with an id."""
    if check := _check_of(item):
        for name in profiles_of(check.id):
            item.add_marker(name)
        item.extra_keyword_matches.update((check.id, former_id(check.id)))


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Warn where `-k` matches the former id of a check, before pytest leaves items out.

    Where nothing is selected, checks on request are left out as they are by `wirecheck run`.
    """
    if not (config.option.markexpr or config.option.keyword or _names_checks(config.args)):
        config.hook.pytest_deselected(items=[each for each in items if _is_on_request(each)])
        items[:] = [each for each in items if not _is_on_request(each)]
    for word in re.findall(r"[\w.]+", config.option.keyword.lower()):
        former = dict.fromkeys(
            former_id(check.id)
            for item in items
            if (check := _check_of(item))
            and word in former_id(check.id)
            and not any(word in name.lower() for name in (check.id, *item.keywords))
        )
        warn_of_ids(former, f"`-k {word}`")


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> None:
    """Load the rest of the plugin with the first check."""
    manager = collector.config.pluginmanager
    if isinstance(getattr(obj, "wirecheck", None), Check) and not manager.hasplugin(SESSION):
        manager.register(importlib.import_module(SESSION), SESSION)


def _names_checks(words: Sequence[str]) -> bool:
    """Whether a file of the catalogue or a check in it is given, and not all of them."""
    return any(word.partition("::")[0].endswith(".py") for word in words)


def _is_on_request(item: pytest.Item) -> bool:
    check = _check_of(item)
    return check is not None and check.id in PATHS


def _check_of(item: pytest.Item) -> Check | None:
    check = getattr(getattr(item, "function", None), "wirecheck", None)
    return check if isinstance(check, Check) else None


def _located(argument: str) -> str:
    """The path of `wirecheck.checks` or `wirecheck.checks.dns`, which is not a package anywhere."""
    name, separator, rest = argument.partition("::")
    if name == PACKAGE:
        return str(catalogue_folder())
    if name.startswith(f"{PACKAGE}."):
        path = catalogue_folder().joinpath(*name.removeprefix(f"{PACKAGE}.").split("."))
        return f"{path if path.is_dir() else path.with_suffix('.py')}{separator}{rest}"
    return argument


def _catalogue(path: Path, parent: pytest.Collector) -> Catalogue | None:
    if path not in catalogue_files():
        return None
    # The same in a checkout, an editable installation and from the wheel.
    inner = path.relative_to(catalogue_folder()).as_posix()
    return Catalogue.from_parent(parent, path=path, nodeid=f"checks/{inner}")
