"""The reference implementation that the scenarios break. Nothing here imports `harness`."""
