"""Pods whose network the node cannot see: virtual machines, and runtimes with a sandbox.

The netns of such a pod has other addresses and routes than the pod, or its packets never pass the
network stack of the node's kernel. What is seen or tried from there says nothing about the pod.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from wirecheck.snapshot.objects.pod import PodObject
from wirecheck.snapshot.objects.runtime_class import RuntimeClassObject

HANDLERS = re.compile(
    r"kata|gvisor|runsc|firecracker|cloud-hypervisor|peer-?pods?|confidential|contrast-cc|krun"
    r"|urunc|quark|rund$|runv$|inclavare|^vm$|-vm$|microvm|-vm-isolation|-cc-isolation"
)
"""Handlers of runtimes with a network stack of their own. Those for WebAssembly, GPUs and user
namespaces (runwasi, nvidia, sysbox) start ordinary processes in the pod's netns."""

LAUNCHERS: Mapping[str, frozenset[str]] = {
    "kubevirt.io": frozenset({"virt-launcher"}),
    "virtlet.cloud": frozenset({"true"}),
}
"""Labels of pods that run a virtual machine, with the values."""

OWNERS = frozenset({"VirtualMachineInstance", "VirtualMachine", "VirtualMachineReplicaSet"})
"""Kinds of the owners of such pods."""

Handlers = Mapping[str, str]
"""The handler of each RuntimeClass, by its name."""


def handlers_of(classes: Iterable[RuntimeClassObject]) -> Handlers:
    """The handlers by the names of their RuntimeClasses."""
    return {each.metadata.name: each.handler for each in classes}


def sandbox_of(pod: PodObject, handlers: Handlers) -> str:
    """Why the pod's network is not that of its netns, as a noun phrase; empty if it is.

    A RuntimeClass that was not read usually has the name of its handler.
    """
    meta, runtime = pod.metadata, pod.spec.runtime_class_name
    if any(meta.labels.get(key) in values for key, values in LAUNCHERS.items()) or any(
        owner.kind in OWNERS and owner.controller for owner in meta.owner_references
    ):
        return "pods of virtual machines, which have the pod's address inside the machine"
    if runtime and HANDLERS.search(handlers.get(runtime, runtime).lower()):
        return f"pods of the runtime class {runtime}, whose network is inside the sandbox"
    return ""
