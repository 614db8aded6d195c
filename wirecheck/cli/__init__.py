"""The command line, one module per command.

Imports `run` and `inspect`. Nothing imports it.
"""
