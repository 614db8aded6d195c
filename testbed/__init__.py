"""A real Kubernetes cluster on one machine, to run wirecheck against."""
