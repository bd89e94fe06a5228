"""`python -m targets.resources serve|watch|limits …`."""

from __future__ import annotations

import sys

from targets.resources import service


def main() -> int:
    """Run the command that the command line names; return the exit status."""
    if sys.argv[1:2] == ["serve"]:
        service.leave(service.main())
    from targets.resources import tools  # noqa: PLC0415  every restart is a recovery time: a service imports its own

    return tools.main()


if __name__ == "__main__":
    sys.exit(main())
