"""Which way a packet takes through the cluster, and the line at which it dies.

It follows one packet and its answer from socket to socket, over the kernel's stages on each node,
and says of every hop which rule, route or entry decided it. What the nodes did not report makes a
path undecided; nothing is assumed.

Imports `node` and what is below it. It does no I/O, and knows neither checks nor reports. Pure.
"""
