"""Reads whether Cilium only audits the policies of each endpoint of the node.

The option is compiled into the endpoint's program. Its agent keeps what it compiles in a folder for
each endpoint, with one header for options.
"""

import os
import re
import time
from typing import Any, Dict, List, Tuple

from wirecheck.collect.on_node import regular_file

ROOTS = ("/proc/1/root", "/")
FOLDERS = ("run/cilium/state", "var/run/cilium/state")
"""Where `state-dir` is, unless configured otherwise. One may be a link to the other."""
NUMBER = re.compile(r"\d{1,5}", re.ASCII)
"""A folder with another name is of an endpoint that is just being changed."""
HEADER = "ep_config.h"
OPTION = re.compile(r"^#(define|undef) POLICY_AUDIT_MODE\b", re.MULTILINE)
MOST_ENDPOINTS = 800
MOST_BYTES = 256 << 10
"""Of one header: it has some lines, and a comment for each label of the pod."""
MOST_SECONDS = 1.0


def read_all() -> Dict[str, Any]:
    """`audited`, whether each endpoint is only audited, by its number; else `audit_problem`."""
    root, folder, numbers = _endpoints()
    if not folder:
        return {"audit_problem": "no folder %s with endpoints of Cilium" % FOLDERS[0]}
    ends = time.monotonic() + MOST_SECONDS
    found = {}  # type: Dict[str, bool]
    for number in numbers[:MOST_ENDPOINTS]:
        if time.monotonic() > ends:
            break
        try:
            text = regular_file.text("%s/%s/%s" % (folder, number, HEADER), MOST_BYTES, root)
        except OSError:
            continue
        option = OPTION.search(text)
        if option:
            found[number] = option.group(1) == "define"
    return {"audited": found}


def _endpoints() -> Tuple[str, str, List[str]]:
    """The root and the folder of the node's endpoints, and their numbers."""
    for root in ROOTS:
        for folder in FOLDERS:
            try:
                names = sorted(filter(NUMBER.fullmatch, os.listdir(os.path.join(root, folder))))
            except OSError:
                continue
            if names:
                return root, folder, names
    return "", "", []
