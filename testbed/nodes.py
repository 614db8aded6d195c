"""The nodes as containers, and running commands on any node."""

from __future__ import annotations

import ipaddress
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from testbed.access import host_key
from testbed.commands import Ended, TestbedError, attempt
from testbed.commands import run as run_here
from testbed.file_layout import KUBEADM, FileLayout, kube_proxy_arguments
from testbed.images import archive
from testbed.layout import DNS, FOLDER_LABEL, LABEL, NETWORK, SUBNET_V6, VM, Layout, NodeSpec
from testbed.rootfs import overlay_key
from testbed.state import SOURCE, State, state, write_atomically

CONFINEMENT = (
    # Everything but CAP_SYS_RESOURCE, which many sandboxes cannot give: `--privileged` fails
    # there as a whole.
    *("--cap-add", "ALL", "--cap-drop", "SYS_RESOURCE"),
    *("--security-opt", "seccomp=unconfined"),
    *("--security-opt", "apparmor=unconfined"),
    *("--security-opt", "systempaths=unconfined"),
    *("--device", "/dev/kmsg", "--device-cgroup-rule", "a *:* rwm"),
    *("--cgroupns", "private", "--tmpfs", "/run", "--tmpfs", "/tmp"),
)

FORWARDING_V6 = (
    *("--sysctl", "net.ipv6.conf.all.disable_ipv6=0"),
    *("--sysctl", "net.ipv6.conf.all.forwarding=1"),
    *("--sysctl", "net.bridge.bridge-nf-call-ip6tables=1"),
)


@dataclass(frozen=True, slots=True)
class Mount:
    """A file system of the kernel's that a node mounts before its pods need it."""

    type: str
    at: str


def run(
    node: str,
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    timeout: float = 60,
    user: str = "root",
) -> Ended:
    """Run a command on a node, whatever leads there, and tell how it ended.

    Raises TestbedError where it cannot be run to its end within `timeout` seconds.
    """
    return attempt(_way_in(node, user, argv), stdin=stdin, timeout=timeout)


def output(node: str, argv: Sequence[str], *, stdin: str | None = None, timeout: float = 60) -> str:
    """The standard output of a command that succeeds on a node; TestbedError if it fails."""
    ended = run(node, argv, stdin=stdin, timeout=timeout)
    if ended.status:
        said = (ended.stderr or ended.stdout).strip()[-600:]
        raise TestbedError(
            f"on {node} `{shlex.join(argv)[:160]}` ended with {ended.status}: {said}"
        )
    return ended.stdout


def _way_in(node: str, user: str, argv: Sequence[str]) -> list[str]:
    if node == VM:
        # sshd gives one line of text to a shell, so it has to be quoted for one.
        return ["ssh", "-F", str(state().ssh_config), f"{user}@{node}", shlex.join(argv)]
    return ["docker", "exec", "--interactive", "--user", user, node, *argv]


def node_image(here: State) -> str:
    """The name of the nodes' image, which changes with what is in it."""
    return f"wc-node:{overlay_key(here)[:12]}"


def build_node_image(here: State) -> None:
    """Make the nodes' image from the root file system, or find it made."""
    name = node_image(here)
    if attempt(["docker", "image", "inspect", name]).status == 0:
        return
    draft = here.images / "node.tar.draft"
    tree = ["--numeric-owner", "-C", str(here.rootfs), "-cf", str(draft), "."]
    run_here(["tar", *tree], timeout=600)
    run_here(["docker", "import", "--change", f"LABEL {LABEL}", str(draft), name], timeout=600)
    draft.unlink()
    _remove_older_images(name)


def _remove_older_images(newest: str) -> None:
    ours = ["--filter", f"label={LABEL}", "--format", "{{.Repository}}:{{.Tag}}"]
    for name in run_here(["docker", "images", *ours]).split():
        if name != newest:
            # One that a container still uses stays until the next time.
            attempt(["docker", "image", "rm", name])


def write_node_settings(
    here: State, layout: Layout, mounts: Iterable[Mount] = (), proxy_mode: str = "iptables"
) -> Path:
    """Write the files with every node's gateway, DNS server and further mounts.

    And the options of its kube-proxy, for nodes where that is a part of k3s.
    """
    folder = here.root / "node"
    write_atomically(folder / "gateway", f"{layout.gateway}\n")
    write_atomically(
        folder / "resolv.conf", f"search example.test\nnameserver {layout.dns}\noptions ndots:1\n"
    )
    lines = "".join(f"{each.type} {each.at}\n" for each in mounts)
    write_atomically(folder / "mounts", lines)
    write_atomically(folder / "k3s", kube_proxy_arguments(proxy_mode))
    return folder


def start(
    here: State,
    node: NodeSpec,
    settings: Path,
    further_images: Path | None = None,
    file_layout: FileLayout = KUBEADM,
) -> None:
    """Start a node's container. `further_images` is an archive beside that of every cluster."""
    volume = f"{node.name}-var"
    run_here(["docker", "volume", "create", "--label", LABEL, volume])
    mounts = {
        f"{volume}:/var": None,
        "/lib/modules:/lib/modules:ro": Path("/lib/modules"),
        f"{archive(here)}:/opt/wirecheck-testbed/images.tar:ro": None,
        f"{settings / 'gateway'}:/etc/wirecheck-testbed/gateway:ro": None,
        f"{settings / 'resolv.conf'}:/etc/wirecheck-testbed/resolv.conf:ro": None,
        f"{settings / 'mounts'}:/etc/wirecheck-testbed/mounts:ro": None,
        f"{host_key(here, node.name)}:/etc/wirecheck-testbed/host_key:ro": None,
    }
    if further_images:
        mounts[f"{further_images}:/opt/wirecheck-testbed/further-images.tar:ro"] = None
    if file_layout.agent:
        # Process 1 knows the layout by the file with the options.
        mounts[f"{settings / 'k3s'}:/etc/wirecheck-testbed/k3s:ro"] = None
        mounts[f"{here.bin / file_layout.agent.name}:{file_layout.agent_path}:ro"] = None
    volumes = [
        a for mount, needs in mounts.items() if not needs or needs.exists() for a in ("-v", mount)
    ]
    name = ["--name", node.name, "--hostname", node.name, *_labels(here)]
    address = ["--network", NETWORK, "--ip", node.address]
    if node.address_v6:
        address += ["--ip6", node.address_v6, *FORWARDING_V6]
    run_here(
        [
            "docker",
            "run",
            "--detach",
            "--init",
            *name,
            *address,
            *CONFINEMENT,
            *volumes,
            *("--env", f"PATH={file_layout.path}"),
            node_image(here),
            "/usr/local/sbin/wc-init",
        ],
        timeout=120,
    )
    if node.address_v6:
        # As in the first family: without a default route no rule sees packets to a Service.
        gateway = str(ipaddress.ip_network(SUBNET_V6)[1])
        output(
            node.name, ["ip", "-6", "route", "replace", "default", "via", gateway, "dev", "eth0"]
        )


def start_dns(here: State, layout: Layout) -> None:
    """Start the DNS server that stands for the world outside the cluster."""
    mounts = ["-v", f"{here.bin / 'coredns'}:/coredns:ro"]
    mounts += ["-v", f"{SOURCE / 'dns'}:/etc/dns:ro"]
    name = ["--name", DNS, "--hostname", DNS, *_labels(here)]
    address = ["--network", NETWORK, "--ip", layout.dns]
    run_here(
        [
            "docker",
            "run",
            "--detach",
            "--init",
            *name,
            *address,
            *mounts,
            node_image(here),
            "/coredns",
            "-conf",
            "/etc/dns/Corefile",
        ],
        timeout=120,
    )


def _labels(here: State) -> list[str]:
    return ["--label", LABEL, "--label", f"{FOLDER_LABEL}={here.root}"]


def refuse_foreign(here: State) -> None:
    """TestbedError if the machine's test cluster was started from another state folder."""
    shown = f'{{{{.Label "{FOLDER_LABEL}"}}}}'
    rows = run_here(["docker", "ps", "--all", "--filter", f"label={LABEL}", "--format", shown])
    others = set(rows.splitlines()) - {"", str(here.root)}
    if others:
        raise TestbedError(
            f"the test cluster of {', '.join(sorted(others))} is there: take it down first, with"
            " the XDG_CACHE_HOME that it was started with"
        )


def running() -> dict[str, bool]:
    """Each of our containers, and whether it runs."""
    rows = run_here(
        ["docker", "ps", "--all", "--filter", f"label={LABEL}", "--format", "{{.Names}} {{.State}}"]
    )
    return {name: is_in == "running" for name, is_in in map(str.split, rows.splitlines())}


def remains() -> list[str]:
    """What is left of nodes that were removed: nothing, if all is well."""
    volumes = run_here(["docker", "volume", "ls", "--quiet", "--filter", f"label={LABEL}"]).split()
    return [f"container {name}" for name in running()] + [f"volume {name}" for name in volumes]


def remove(name: str) -> None:
    """Remove one node's container, and what it kept."""
    run_here(["docker", "rm", "--force", name], timeout=120)
    run_here(["docker", "volume", "rm", f"{name}-var"])


def remove_all() -> None:
    """Remove all containers and volumes that carry our label."""
    ours = ["--quiet", "--filter", f"label={LABEL}"]
    containers = run_here(["docker", "ps", "--all", *ours]).split()
    if containers:
        run_here(["docker", "rm", "--force", *containers], timeout=120)
    volumes = run_here(["docker", "volume", "ls", *ours]).split()
    if volumes:
        run_here(["docker", "volume", "rm", *volumes], timeout=120)
