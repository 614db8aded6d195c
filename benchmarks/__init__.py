"""Speed and size, each as a ratio of two things measured in one run."""
