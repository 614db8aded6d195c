"""The snapshot: what a run collected, as it is stored on disk, and its redaction.

Imports `catalogue`, `addresses` and `text`. It reads and writes that folder, and nothing else.
"""
