"""The cluster and its nodes as checks see them: thin compositions of what is below.

Imports everything from `catalogue` to `node`. It does no I/O and holds no verdict.
"""
