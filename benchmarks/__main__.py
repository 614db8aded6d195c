"""`python -m benchmarks [NAME]`: all of them, or one."""

import click

from benchmarks import (
    api_lists,
    cluster_sizes,
    dns_from_all_pods,
    networking_tests,
    policies,
    service_rules,
    visits,
)


@click.group(invoke_without_command=True)
@click.pass_context
def main(context: click.Context) -> None:
    """Speed and size, each as a ratio of two things measured in one run."""
    if context.invoked_subcommand is None:
        for each in (
            dns_from_all_pods.main,
            service_rules.main,
            api_lists.main,
            cluster_sizes.main,
            policies.main,
            visits.main,
            networking_tests.main,
        ):
            context.invoke(each)


main.add_command(dns_from_all_pods.main, "dns-from-all-pods")
main.add_command(service_rules.main, "programmed-node")
main.add_command(api_lists.main, "api-lists")
main.add_command(cluster_sizes.main, "cluster-sizes")
main.add_command(policies.main, "policies")
main.add_command(visits.main, "visits")
main.add_command(networking_tests.main, "networking-tests")

if __name__ == "__main__":
    main()
