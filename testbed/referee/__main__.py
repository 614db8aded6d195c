"""`python -m testbed.referee`: kube-proxy programs random Services, and is the referee.

With `--trace` the kernel is the referee of paths.
"""

import sys

from testbed.referee.cli import main
from testbed.trace_referee.cli import main as of_traces

if "--trace" in sys.argv:
    of_traces()
else:
    main()
