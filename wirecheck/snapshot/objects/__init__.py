"""The fields of Kubernetes objects that may enter a snapshot, kind by kind."""
