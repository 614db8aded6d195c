"""Faults for the test cluster, and the proof that each turns exactly the right checks red."""
