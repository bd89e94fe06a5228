"""Faults: one file each, named after its kind with "." as "_". See `harness.faults._base` for the contract."""
