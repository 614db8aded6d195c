"""What deploy/ holds, run for real on the test cluster."""
