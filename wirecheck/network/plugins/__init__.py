"""One module per CNI plugin, each with one record, `PLUGIN`: see docs/adding-a-network.md."""
