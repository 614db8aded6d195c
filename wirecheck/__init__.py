"""Does every node of a Kubernetes cluster really do, on the wire, what the API says it does?"""

__version__ = "0.1.0"
