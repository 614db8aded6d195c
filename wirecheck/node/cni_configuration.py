"""Which of a node's CNI configurations are in force: the runtime's own, and its delegate.

The container runtime uses the first file by name. Multus is a CNI plugin that connects pods to
several networks: it calls another configuration, its delegate, for the network of the cluster.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from wirecheck.network.cni_types import BRIDGE, CALLS_IPAM, LOOPBACK, META_PLUGINS, NO_PROGRAMS
from wirecheck.network.plugin import CniPlugin
from wirecheck.network.registry import PLUGINS
from wirecheck.snapshot.cni_files import CniConfiguration, CniFiles


def is_meta(configuration: CniConfiguration) -> bool:
    """Return whether the configuration calls others, as Multus does."""
    return bool(META_PLUGINS.intersection(configuration.plugins)) or bool(configuration.delegates)


def is_loopback(configuration: CniConfiguration) -> bool:
    """Return whether the configuration sets up nothing but lo."""
    return set(configuration.plugins) == {LOOPBACK}


def in_force(files: CniFiles) -> tuple[CniConfiguration, ...]:
    """The configuration that the runtime uses, then its delegate if it calls one."""
    listed = files.configurations or []
    if not listed:
        return ()
    first, *others = listed
    if not is_meta(first):
        return (first,)
    return (first, *_delegates(first, [*files.delegated, *others]))


def _delegates(
    first: CniConfiguration, others: Sequence[CniConfiguration]
) -> Sequence[CniConfiguration]:
    """The configuration for the cluster's network: the one that is named, or the next by name."""
    if first.delegates:
        return first.delegates
    named = [each for each in others if first.calls and each.file == first.calls]
    usable = [e for e in others if not (e.problem or is_meta(e) or is_loopback(e))]
    return (named or usable)[:1]


def agent_of(configuration: CniConfiguration, agents: Iterable[CniPlugin]) -> CniPlugin | None:
    """Return the plugin among those with an agent whose configuration this is."""
    types = set(configuration.plugins)
    return next((each for each in agents if types & set(each.recognised_by.types)), None)


def is_left_behind(configuration: CniConfiguration, agents: Sequence[CniPlugin]) -> bool:
    """Return whether the plugin of the configuration is none of those with an agent.

    It is another known plugin, which was removed without its file, or the example with a bridge of
    a container runtime. What an agent without a type of its own writes is not known.
    """
    if is_meta(configuration) or agent_of(configuration, agents):
        return False
    is_known = agent_of(configuration, PLUGINS) is not None
    has_types = all(each.recognised_by.types for each in agents)
    return has_types and (is_known or BRIDGE in configuration.plugins)


def types_in_force(files: CniFiles) -> tuple[str, ...]:
    """The types of the plugins that the configurations in force name, in order."""
    return tuple(plugin for each in in_force(files) for plugin in each.plugins)


def programs_of(configuration: CniConfiguration) -> tuple[str, ...]:
    """The programs that a configuration needs, each once."""
    calls_ipam = CALLS_IPAM.intersection(configuration.plugins)
    ipam = [each for each in configuration.ipam if calls_ipam and each not in NO_PROGRAMS]
    return tuple(dict.fromkeys([*configuration.plugins, *ipam]))


def names_kubeconfig(configuration: CniConfiguration, file: str, is_named: bool) -> bool:
    """Return whether the configuration uses a kubeconfig, by its path within the folder.

    Documents of older programs do not have the paths that configurations name. Then the names of
    the files decide, as of `calico-kubeconfig` and `multus.d/multus.kubeconfig`.
    """
    if is_named:
        return any(each == file or each.endswith(f"/{file}") for each in configuration.kubeconfigs)
    return any(each in file for each in (*configuration.plugins, *configuration.ipam) if each)
