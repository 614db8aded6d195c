"""Shows everything known about one pod, Service or node, drawn from top to bottom or as JSON.

Imports everything up to `evaluation`, and the texts of `report`. It takes what a snapshot holds
and what the checks found; it collects nothing and decides nothing.
"""
