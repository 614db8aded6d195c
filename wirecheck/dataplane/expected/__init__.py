"""How one node must handle Services according to the API: the expected side of the comparison.

Imports `dataplane`'s table, proxy settings and clients, and `api_index`. Pure.
"""
