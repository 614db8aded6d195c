"""`python -m testbed.referee`: kube-proxy programs random Services, and is the referee.

With `--trace` the kernel is the referee of paths, with `--policy` an enforcer that of policies.
"""

import sys

from testbed.enforcer_referee.cli import main as of_policies
from testbed.referee.cli import main
from testbed.trace_referee.cli import main as of_traces

if "--trace" in sys.argv:
    of_traces()
elif any(each.partition("=")[0] == "--policy" for each in sys.argv):
    of_policies()
else:
    main()
