"""Tools for assistants, over the Model Context Protocol on standard input and output.

Every tool only reads. Each call of a tool that reads a cluster or a file runs in a process of its
own with a time limit. Imports everything below it, `cli` included; nothing imports it, and it alone
imports the SDK of the protocol, which is an optional extra.
"""
