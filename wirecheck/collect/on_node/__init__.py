"""The program that runs on a node, module by module: standard library, Python 3.6 or later.

`collect/node_program.py` sends these modules as text; nothing is installed on a node.
"""
