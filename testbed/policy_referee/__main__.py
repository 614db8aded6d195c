"""`python -m testbed.policy_referee`: other programs evaluate random NetworkPolicies."""

from testbed.policy_referee.cli import main

main()
