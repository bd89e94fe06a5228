"""The registries: `ls` is the catalogue."""

from __future__ import annotations

import pytest

from harness.registry import CHECKS, FAULTS, REPORTS, RUNNERS, Registry

REGISTRIES = [FAULTS, CHECKS, RUNNERS, REPORTS]
KINDS = [(registry, kind) for registry in REGISTRIES for kind in registry.kinds()]


@pytest.mark.parametrize(("registry", "kind"), KINDS, ids=lambda value: getattr(value, "noun", value))
def test_every_plain_file_of_a_plugin_folder_registers_its_own_name(registry: Registry, kind: str) -> None:
    plugin = registry.get(kind)
    assert plugin.kind == kind
    assert plugin.__module__.rpartition(".")[2] == kind.replace(".", "_")


@pytest.mark.parametrize(("registry", "kind"), KINDS, ids=lambda value: getattr(value, "noun", value))
def test_every_plugin_says_what_it_does(registry: Registry, kind: str) -> None:
    assert (registry.get(kind).__doc__ or "").strip()
