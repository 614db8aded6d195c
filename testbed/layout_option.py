"""The option `--layout`, which two commands of the test cluster share."""

from __future__ import annotations

import click

from testbed.file_layout import FILE_LAYOUTS, KUBEADM

LAYOUT = click.option(
    "--layout",
    type=click.Choice([each.name for each in FILE_LAYOUTS]),
    default=KUBEADM.name,
    show_default=True,
    help="Where nodes keep their files. With k3s, kube-proxy is in the kubelet's process.",
)
