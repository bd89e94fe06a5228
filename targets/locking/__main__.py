"""`python -m targets.locking status|break|bench|migrate`."""

from __future__ import annotations

import sys

from targets.locking.tools import main

if __name__ == "__main__":
    sys.exit(main())
