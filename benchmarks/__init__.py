"""Speed and size, each as a ratio of two things that are run side by side."""
