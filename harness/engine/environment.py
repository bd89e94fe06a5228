"""Where a run took place, for the report. Nothing that names the machine or its user."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

from harness.wire import Json


def environment() -> Json:
    """Return versions and sizes of this machine."""
    return {
        "bigfive": metadata.version("bigfive"),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "cgroup": 2 if Path("/sys/fs/cgroup/cgroup.controllers").exists() else 1,
    }
