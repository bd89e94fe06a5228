"""Checks: one file each, named after its kind. See `harness.checks._base` for the contract."""
