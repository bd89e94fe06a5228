"""A versioned key-value store that survives kills, power cuts and damaged files. Its promises: README.md."""
