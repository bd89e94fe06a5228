"""Optimistic versions, a fair lock manager and documents that many edit at once. Its promises: README.md."""
