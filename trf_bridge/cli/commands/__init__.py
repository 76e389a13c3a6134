"""The commands, one module each. See `trf_bridge.cli` for how to add one."""
