"""Every check keeps the contract of `harness.checks._base`; `check_check` convicts those that do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from harness import testing
from harness.registry import CHECKS
from harness.testing import check_check
from support import bad_plugins

CONVICTED = {
    bad_plugins.Optimist: "the verdict must be UNKNOWN, not PASS",
    bad_plugins.Moody: "it must be pure",
    bad_plugins.Mute: "needs a summary",
    bad_plugins.Shorthanded: "`shorthand` is 'budget', which is none of its fields",
    bad_plugins.Seer: "which nobody samples",
}


Register = Callable[[type[Any]], None]


@pytest.mark.parametrize("kind", CHECKS.kinds())
def test_every_check_keeps_its_contract(kind: str) -> None:
    check_check(kind)


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
    def put(plugin: type[Any]) -> None:
        plugin.kind = "bad_check"
        monkeypatch.setitem(CHECKS._found, "bad_check", plugin)

    return put


@pytest.mark.parametrize(("plugin", "accusation"), CONVICTED.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_check_that_breaks_its_contract_is_told_how(
    plugin: type[Any], accusation: str, register: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing, "_WORLD", set())  # else the imports of the planted bugs' module convict them all
    register(plugin)
    with pytest.raises(AssertionError, match=accusation):
        check_check("bad_check")


def test_a_check_whose_module_could_touch_the_world_is_told_so(register: Register) -> None:
    register(bad_plugins.Moody)
    with pytest.raises(AssertionError, match=r"imports \[.*'time'\]; `judge` must be pure"):
        check_check("bad_check")
