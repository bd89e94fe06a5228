"""Task networks: a task reaches what its allow-list names and nothing else, enforced outside of its containers."""
