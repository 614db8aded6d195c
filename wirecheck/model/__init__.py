"""The cluster as checks speak of it."""
