"""`python -m targets.state serve|check|restore|show|bench FOLDER`."""

from __future__ import annotations

import sys

from targets.state import service


def main() -> int:
    """Run the command that the command line names; return the exit status."""
    if sys.argv[1:2] == ["serve"]:
        return service.main()
    from targets.state import tools  # noqa: PLC0415  every restart is a recovery time: a service imports what it needs

    return tools.main()


if __name__ == "__main__":
    sys.exit(main())
