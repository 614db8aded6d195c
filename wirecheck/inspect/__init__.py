"""What is known of one pod, Service or node, drawn from top to bottom or as JSON."""
