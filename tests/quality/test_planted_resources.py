"""The planted bugs of the resources feature are there: the kernel wins where the real service ends in order."""

from __future__ import annotations

import importlib.util
import os
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from support.resources_kit import LIMITS, no_own_cgroup
from support.state_kit import Recorder

pytestmark = pytest.mark.chaos

RATE = "400MiB/s"  # from nothing to 256 MiB in 0.6 s: slow enough for any monitor that deserves the name


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    planted = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(planted)
    return planted


@pytest.mark.parametrize("name", ["ignores_thresholds", "samples_too_slowly"])
def test_a_service_that_is_not_protected_is_killed_by_the_kernel_and_loses_nothing(
    name: str, tmp_path: Path, lacking: Callable[[str], None]
) -> None:
    if why := no_own_cgroup():
        lacking(why)
    adapter, events = load(name).adapter, Recorder()
    host, client = adapter.host(events), adapter.client()
    try:
        started = host.start(str(tmp_path), os.environ.get("BIGFIVE_LABEL", ""), {"cgroup": "own", "limits": LIMITS})
        client.open(started["connect"], "test", 10.0)
        version = client.write("k", "acknowledged")["version"]
        host.grow("600MiB", RATE, "private")
        assert events.wait("service.exited")["signal"] == signal.SIGKILL
        events.wait("service.ready", 2)
        assert "shutdown.began" not in events.names()
        assert events.wait("started.after_oom")["oom_kills"] == 1
        assert client.read("k")["version"] == version
    finally:
        client.close()
        host.stop()
    assert ("pressure.critical" in events.names()) is (name == "ignores_thresholds")
