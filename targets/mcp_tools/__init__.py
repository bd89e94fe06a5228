"""MCP: a supervisor that makes `kill -9` of a server invisible to its client. What it promises: README.md."""
