"""Faults that can be put into the test cluster, and the proof that each turns the right checks red."""
