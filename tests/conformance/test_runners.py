"""Every runner keeps the contract of `harness.runners._base`; `check_runner` convicts those that do not."""

from __future__ import annotations

from typing import Any

import pytest

from harness.registry import RUNNERS
from harness.testing import check_runner
from support import bad_plugins

CONVICTED = {
    bad_plugins.Lawless: "contract 'teapot' is none of",
    bad_plugins.Handyman: "handle 'spout' is a 'teapot'",
    bad_plugins.Idle: "`writes` must name operations",
    bad_plugins.Fickle: "draw from `rng` only",
    bad_plugins.Hasty: "a client stopped after 1 calls",
    bad_plugins.Inventive: "'read' was called with key, deep; it takes key",
    bad_plugins.LastWord: "`final` writes",
    bad_plugins.OneShot: "`final` must ask the same every time",
}


@pytest.mark.parametrize("kind", RUNNERS.kinds())
def test_every_runner_keeps_its_contract(kind: str) -> None:
    check_runner(kind)


@pytest.mark.parametrize(("plugin", "accusation"), CONVICTED.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_runner_that_breaks_its_contract_is_told_how(
    plugin: type[Any], accusation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(RUNNERS._found, "bad_runner", plugin)
    plugin.kind = "bad_runner"
    with pytest.raises(AssertionError, match=accusation):
        check_runner("bad_runner")
