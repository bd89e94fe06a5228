"""Runners: one file each, named after its kind. See `harness.runners._base` for the contract."""
