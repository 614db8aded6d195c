"""Makes `pytest` judge a cluster in a checkout that is not installed."""

from importlib.metadata import entry_points

# Where it is installed, its entry point loads it. Naming it here as well would forbid runs
# whose rootdir is another folder, as it becomes with `--inventory /elsewhere/inventory.yaml`.
if not entry_points(group="pytest11", name="wirecheck.pytest_plugin.plugin"):
    pytest_plugins = ["wirecheck.pytest_plugin.plugin"]
