"""Faults in the looking itself, on the real cluster: each has one clear outcome."""
