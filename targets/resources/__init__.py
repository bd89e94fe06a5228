"""Watches memory, CPU, processes and disk, and shuts a service down in order before the kernel ends it: README.md."""
