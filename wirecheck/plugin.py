"""pytest's entry point: the options, and the moment when the first check is collected.

Every project in an environment where wirecheck is installed loads this module, so it is light
and does nothing there: the rest is loaded by the first check, or by an option.
"""

from __future__ import annotations

import importlib

import pytest

from wirecheck.catalogue import Check, catalogue_folder
from wirecheck.pytest_options import add_options, given

SESSION = "wirecheck.pytest_session"


@pytest.hookimpl(trylast=True)
def pytest_addoption(parser: pytest.Parser) -> None:
    """After every other plugin, so that an option of the same name is noticed."""
    add_options(parser)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """`pytest --inventory=F` in any folder judges the catalogue."""
    if not given(config):
        return
    here = config.invocation_params.dir
    if config.inipath is None and not here.is_relative_to(config.rootpath):
        # pytest took the option's file for a test's, and would keep its cache beside it.
        config._rootpath = here
    if config.args_source is pytest.Config.ArgsSource.INVOCATION_DIR:
        config.args = [str(path) for path in sorted(catalogue_folder().glob("*.py"))]
        # With any other mode `dns.py` would stand in the way of the library of that name.
        config.option.importmode = "importlib"


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> None:
    """The first check brings the rest of the plugin."""
    manager = collector.config.pluginmanager
    if isinstance(getattr(obj, "wirecheck", None), Check) and not manager.hasplugin(SESSION):
        manager.register(importlib.import_module(SESSION), SESSION)
