"""Marks: found by anybody, and never taken from a living owner."""

from __future__ import annotations

import subprocess

from hypothesis import given
from hypothesis import strategies as st

from harness.containers.labels import OWNER, Owner, marks
from harness.processes import Process


def test_this_process_is_an_owner_that_lives() -> None:
    owner = Owner.parse(marks("run")[OWNER])
    assert owner == Owner.current()
    assert not owner.gone()


def test_an_owner_that_was_killed_is_gone() -> None:
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        here = Owner.current()
        owner = Owner(Process.of(process.pid), here.boot, here.namespace)
        assert not owner.gone()
        process.kill()
        process.wait()
    assert owner.gone()


def test_an_owner_of_another_machine_or_namespace_is_never_thought_gone() -> None:
    here = Owner.current()
    dead = Process(2**22 + 1, 1)
    assert Owner(dead, here.boot, here.namespace).gone()
    assert not Owner(dead, "another-boot", here.namespace).gone()
    assert not Owner(dead, here.boot, "1").gone()


@given(st.text())
def test_any_text_is_an_owner_or_none(text: str) -> None:
    owner = Owner.parse(text)
    assert owner is None or Owner.parse(str(owner)) == owner
