"""CNI plugins: one record for each, and the registry that finds them.

`plugin` defines the record. `plugins/` has one module per plugin. `registry` finds the modules and
picks the plugin of a cluster. Everything that depends on the plugin asks its record: no other
module compares the name of a plugin. Records are plain data, so `collect` may import them.

The package imports `snapshot`. It does no I/O.
"""
