"""Pod networks that the test cluster can have, and the proof of each."""
