"""The folder that is on the path of the tests that run: it holds one plugin and nothing else."""
