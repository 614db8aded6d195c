"""Finds every plugin's record, and the plugin of a cluster.

Each module in `plugins/` defines `PLUGIN`. Adding a module adds the plugin.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from importlib import import_module
from pkgutil import iter_modules

from wirecheck.network import plugins
from wirecheck.network.plugin import UNKNOWN, CniPlugin, Recognition
from wirecheck.snapshot.redact_names import PluginNames

NODE_LOCAL_DNS = "nodelocaldns"
"""The device that NodeLocal DNSCache creates on nodes."""

SHARED_POD_INTERFACES = ("veth", "tap", NODE_LOCAL_DNS)
"""Name prefixes of interfaces that no single plugin owns."""

SHARED_MASQUERADE_CHAINS = ("KUBE-POSTROUTING", "IP-MASQ")
"""Chains of kube-proxy and of ip-masq-agent."""


def records_in(folders: Iterable[str], package: str) -> tuple[CniPlugin, ...]:
    """The records of a package, by precedence. Raises TypeError for a module without one."""
    found = []
    for module in iter_modules(folders, f"{package}."):
        record = getattr(import_module(module.name), "PLUGIN", None)
        if not isinstance(record, CniPlugin):
            raise TypeError(f"{module.name} must define PLUGIN, a CniPlugin.")
        found.append(record)
    return tuple(sorted(found, key=lambda each: (-each.precedence, each.name)))


PLUGINS: tuple[CniPlugin, ...] = records_in(plugins.__path__, plugins.__name__)
"""All known plugins, by descending precedence."""

POD_INTERFACES: tuple[str, ...] = (
    *SHARED_POD_INTERFACES,
    *(prefix for each in PLUGINS for prefix in each.pod_interfaces),
)
"""Name prefixes of interfaces that exist only as long as their pods, of any plugin."""

OWN_DEVICES: tuple[str, ...] = (
    NODE_LOCAL_DNS,
    *(prefix for each in PLUGINS for prefix in each.own_devices),
)
"""Name prefixes of devices that plugins and NodeLocal DNSCache create for themselves."""

MASQUERADE_CHAINS: tuple[str, ...] = (
    *SHARED_MASQUERADE_CHAINS,
    *(prefix for each in PLUGINS for prefix in each.masquerade_chains),
)
"""Name prefixes of the iptables chains with masquerade rules for pods."""

NODE_FILES: frozenset[str] = frozenset(path for each in PLUGINS for path in each.node_files)
"""Files of any plugin whose content differs from node to node."""

PLUGIN_NAMES = PluginNames(
    objects=frozenset(
        name for each in PLUGINS for name in (*each.recognised_by.daemonsets, *each.object_names)
    ),
    devices=POD_INTERFACES,
)
"""The names that redaction keeps."""

CONFIG_MAP_KEYS: dict[str, str] = {
    setting.config_map: setting.key for each in PLUGINS if (setting := each.services.setting)
}
"""The key that switches Service forwarding on, by the name of its ConfigMap in kube-system."""

FURTHER_KEYS: dict[str, tuple[str, ...]] = {
    setting.config_map: setting.further for each in PLUGINS if (setting := each.services.setting)
}
"""Other keys of these ConfigMaps that change how Services are forwarded."""


def plugins_of(
    daemonsets: Collection[str], known: Iterable[CniPlugin] = PLUGINS
) -> tuple[CniPlugin, ...]:
    """The plugins whose agents are among these DaemonSets, by descending precedence."""
    return tuple(
        each for each in known if any(name in daemonsets for name in each.recognised_by.daemonsets)
    )


def plugin_of(daemonsets: Collection[str], known: Iterable[CniPlugin] = PLUGINS) -> CniPlugin:
    """The plugin whose agent is among these DaemonSets; `UNKNOWN` if there is none."""
    return next(iter(plugins_of(daemonsets, known)), UNKNOWN)


def plugin_on(
    types: Sequence[str],
    devices: Collection[str],
    annotations: Collection[str],
    agents: Sequence[CniPlugin],
) -> CniPlugin:
    """The plugin that connects the pods of one node; `UNKNOWN` if nothing shows it.

    `types` are those of the CNI configuration in force, `devices` the names of the node's
    devices, `agents` the plugins that have a DaemonSet in the cluster. Several can have one:
    Calico enforces policies beside the AWS VPC CNI. Then the configuration decides.
    """
    connecting = [each for each in PLUGINS if set(types) & set(each.recognised_by.types)]
    if agents:
        return next((each for each in agents if each in connecting), agents[0])
    of_devices = (each for each in PLUGINS if _created_any(each.recognised_by, devices))
    of_annotations = (
        each
        for each in PLUGINS
        if each.recognised_by.annotation and each.recognised_by.annotation in annotations
    )
    return next(iter([*connecting, *of_devices, *of_annotations]), UNKNOWN)


def _created_any(recognised_by: Recognition, devices: Iterable[str]) -> bool:
    prefixes = recognised_by.devices
    return bool(prefixes) and any(name.startswith(prefixes) for name in devices)


def replaces_kube_proxy(plugin: CniPlugin, settings: Collection[tuple[str, str]]) -> str:
    """The plugin that forwards Services instead of kube-proxy; empty if kube-proxy does.

    `plugin` is that of the cluster, `settings` are the (key, value) pairs of all ConfigMaps.
    """
    for each in PLUGINS:
        setting = each.services.setting
        if setting and any(key == setting.key and v in setting.enabled for key, v in settings):
            return each.name
    return plugin.name if plugin.services.always else ""


def device_of(name: str) -> str:
    """The device without which the plugin of this name does not forward Services; or empty."""
    return next((each.services.device for each in PLUGINS if each.name == name), "")


def forwards_by_device(devices: Collection[str]) -> str:
    """The plugin that these devices show to forward Services: `Cilium`, `Calico (eBPF)`."""
    for each in PLUGINS:
        if each.services.device and each.services.device in devices:
            return f"{each.name} ({each.services.mode})" if each.services.mode else each.name
    return ""
