"""`python -m targets.mcp_tools supervise|status|serve`."""

from __future__ import annotations

import sys

_USAGE = "usage: python -m targets.mcp_tools {supervise,status,serve} …  (each explains itself with --help)\n"


def supervise() -> int:
    """Run `bigfive-supervise`."""
    from targets.mcp_tools.supervise import main as command  # noqa: PLC0415  a start imports what it needs

    return command(sys.argv[1:])


def main() -> int:
    """Run the command that the command line names; return the exit status."""
    name, sys.argv[1:] = (sys.argv[1:2] or [""])[0], sys.argv[2:]
    if name == "supervise":
        return supervise()
    if name == "status":
        from targets.mcp_tools.status import main as status  # noqa: PLC0415  see above

        return status(sys.argv[1:])
    if name == "serve":
        from targets.mcp_tools.server import main as serve  # noqa: PLC0415  see above

        return serve(sys.argv[1:])
    sys.stderr.write(_USAGE)
    return 64


if __name__ == "__main__":
    sys.exit(main())
