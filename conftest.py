"""Makes `pytest` judge a cluster in a checkout, installed or not."""

pytest_plugins = ["wirecheck.plugin"]
