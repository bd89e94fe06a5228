"""Every fault keeps the contract of `harness.faults._base`; `check_fault` convicts those that do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import EnvironmentLacks
from harness.registry import FAULTS
from harness.testing import check_fault
from support import bad_plugins

# What a fault needs beside the examples that its parameters give by themselves.
PARAMETERS: dict[str, dict[str, Any]] = {"file.stale_restore": {"living": True, "age": "50ms"}}

CONVICTED = {
    bad_plugins.Thawed: "must be frozen",
    bad_plugins.Positional: "`depth` must be keyword-only",
    bad_plugins.Wordless: "the class needs a docstring",
    bad_plugins.Undocumented: "`depth` needs a docstring",
    bad_plugins.Unitless: "`delay` is a bare number",
    bad_plugins.Teapot: "`on` is 'teapot'",
    bad_plugins.Healing: "damage has no `prove_undone`",
    bad_plugins.Irreversible: "must say what undoes it",
    bad_plugins.Unregistered: "needs an @undoer",
    bad_plugins.OnceOnly: "before the act, and twice after it",
    bad_plugins.Remembering: "by a process that never saw the act",
    bad_plugins.Reckless: "was injected into a file that does not exist",
    bad_plugins.Toothless: "did not take effect",
    bad_plugins.Unseeded: "the same seed did other damage",
    bad_plugins.Unspeakable: "`inject` must return what JSON can keep",
}


@pytest.mark.parametrize("kind", FAULTS.kinds())
def test_every_fault_keeps_its_contract(kind: str, lacking: Callable[[str], None]) -> None:
    try:
        check_fault(kind, **PARAMETERS.get(kind, {}))
    except EnvironmentLacks as error:
        lacking(str(error))


@pytest.mark.parametrize(("plugin", "accusation"), CONVICTED.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_that_breaks_its_contract_is_told_how(
    plugin: type[Any], accusation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Undos are executed by processes that import them by name.
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setitem(FAULTS._found, "bad.fault", plugin)
    plugin.kind = "bad.fault"
    with pytest.raises(AssertionError, match=accusation):
        check_fault("bad.fault")
