"""`python -m testbed.referee`: kube-proxy programs random Services, and is the referee."""

from testbed.referee.cli import main

main()
