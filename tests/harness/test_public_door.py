"""`import harness`: a dozen names that are there, and that cost nothing until they are used."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

import harness


def test_every_public_name_is_there_sorted_and_from_its_home() -> None:
    assert harness.__all__ == sorted(harness.__all__)
    assert dir(harness) == harness.__all__
    for name in harness.__all__:
        assert getattr(harness, name) is getattr(importlib.import_module(harness._HOMES[name]), name)


def test_another_name_is_refused_with_those_that_are_there() -> None:
    with pytest.raises(AttributeError, match=r"'colect'.*collect"):
        harness.colect  # noqa: B018  looking is the test


def test_importing_the_package_imports_nothing_else() -> None:
    code = "import sys, harness; print(sorted(name for name in sys.modules if name.startswith(('harness', 'msgspec'))))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert shown == "['harness']\n"
