"""A real upgrade on the test cluster, between the two runs of an upgrade gate."""
