"""`python -m targets.state serve FOLDER --socket PATH`."""

from __future__ import annotations

import sys

from targets.state.service import main

if __name__ == "__main__":
    sys.exit(main())
