"""The planted bug is there: without it, a check that convicts nobody would look like a healthy store."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path

import pytest

from support.state_kit import Recorder, kill

PLANTED = Path(__file__).with_name("ack_before_durable.py")


@pytest.mark.chaos
def test_a_store_that_acknowledges_too_early_loses_the_write_when_killed(tmp_path: Path) -> None:
    spec = importlib.util.spec_from_file_location("ack_before_durable", PLANTED)
    assert spec is not None
    assert spec.loader is not None
    planted = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(planted)
    events = Recorder()
    host, client = planted.adapter.host(events), planted.adapter.client()
    try:
        client.open(host.start(str(tmp_path), os.environ.get("BIGFIVE_LABEL", ""))["connect"], "test", 10.0)
        assert client.write("k", "acknowledged") == {"version": 1}
        kill(host.describe()["handles"]["service"]["pid"])
        events.wait("service.ready", 2)
        assert client.read("k") == {"value": None, "version": 0}
        assert "damage.detected" not in events.names()
    finally:
        client.close()
        host.stop()
