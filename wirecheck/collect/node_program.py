"""The node program as one command line: its modules and its plan, compressed.

Every character between the quotes means itself in any shell, so that the line survives
as many of them as lie on the way (sudo, ssh, docker exec).
"""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from functools import cache
from importlib import resources

PACKAGE = "wirecheck.collect.on_node"
MODULES = (
    "netlink",
    "nf_tables",
    "rtnetlink",
    "processes",
    "deadline",
    "lifeline",
    "namespaces",
    "probes",
    "contacts",
    "pod_files",
    "cni_files",
    "boot_settings",
    "device_managers",
    "traffic",
    "new_connections",
    "commands",
    "pieces",
    "iptables_blocks",
    "nft_blocks",
    "rule_blocks",
    "kernel",
    "kube_proxy",
    "kubelet",
    "visit",
)
"""In the order of their imports: each is complete before another one needs it."""

TOO_OLD = 69
"""Exit status where the node's Python is older than 3.6."""

OTHER_PROGRAM = 67
"""Exit status of an agent whose image holds another program than the one that was asked for."""

NOT_LET_IN = 66
"""Exit status of an agent that may not enter the node's namespaces."""

LONGEST = 100_000
"""Bytes. Linux passes no argument longer than 128 KiB, and quoting takes its share."""

# Makes the modules from their text, under their own names, so that they import each other.
_LOADER = """
import sys, types
def load(package, sources, plan):
    parts = package.split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = []
    for name, source in sources:
        module = types.ModuleType(package + "." + name)
        sys.modules[module.__name__] = module
        setattr(sys.modules[package], name, module)
        exec(compile(source, name + ".py", "exec"), module.__dict__)
    module.main(plan)
"""
_START = (
    "import sys,zlib,base64,json;"
    f"sys.version_info<(3,6)and sys.exit({TOO_OLD});"
    "p,q=[json.loads(zlib.decompress(base64.b64decode(a)).decode())for a in sys.argv[1:]];"
    "exec(p[0]);load(p[1],p[2],q)"
)


class PlanTooLargeError(ValueError):
    """The plan does not fit on a command line."""


@cache
def _text() -> bytes:
    folder = resources.files(PACKAGE)
    sources = [[name, (folder / f"{name}.py").read_text("utf-8")] for name in MODULES]
    return json.dumps([_LOADER, PACKAGE, sources]).encode()


@cache
def _program() -> str:
    return _packed(_text())


@cache
def digest() -> str:
    """Which program this is: the same for the same text of its modules."""
    return hashlib.sha256(_text()).hexdigest()[:16]


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


def agent_command_line(plan: bytes) -> str:
    """The command for an agent pod, whose image holds the program: only the plan travels."""
    line = f"wirecheck-agent look {digest()} {_packed(plan)}"
    if len(line) > LONGEST:
        raise PlanTooLargeError(f"The plan takes {len(line):,} bytes.")
    return line


def command_line(plan: bytes) -> str:
    """The command for a node; `plan` is JSON. Raises PlanTooLargeError where it has no room."""
    # -I: neither the environment nor the working directory has a say in what is imported.
    line = f'python3 -I -S -c "{_START}" {_program()} {_packed(plan)}'
    if len(line) > LONGEST:
        raise PlanTooLargeError(f"The plan takes {len(line) - len(_program()):,} bytes.")
    return line
