"""CNI plugins: one record for each, and the registry that finds them.

`plugin.py` says what a record holds, `plugins/` has one module per plugin, `registry.py` finds
the modules and picks the plugin of a cluster. Everything that depends on the plugin asks its
record: no other module names a plugin. The records are data alone, so `collect` may import them.
They do no I/O.
"""
