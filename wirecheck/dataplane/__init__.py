"""What a node must forward, and what it does forward: one type for both."""
