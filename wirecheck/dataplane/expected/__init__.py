"""What the API asks one node to do for Services: the expected side of the comparison.

Imports `dataplane`'s table, proxy settings and clients, and `api_index`. Pure.
"""
