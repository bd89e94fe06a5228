"""The fence, in processes of their own: it is not to be put around the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from targets.resources.fence import Mapped

ROOT = Path(__file__).parents[3]
PRELUDE = """
import mmap, resource
from targets.resources import fence
from targets.resources.levels import Sample
from targets.resources.units import MIB
def room():
    return resource.getrlimit(resource.RLIMIT_DATA)[0] - fence.Mapped.of().private
def fails(count):
    try:
        b"x" * count
    except MemoryError:
        return True
    return False
the = fence.Fence(0.9)
"""


def run(body: str) -> None:
    done = subprocess.run([sys.executable, "-c", PRELUDE + body], check=False, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_one_huge_allocation_fails_where_it_was_asked_for_and_small_ones_go_on() -> None:
    run("""
the.raise_for(Sample(0, 20 * MIB, 100 * MIB))
assert fails(90 * MIB)
assert not fails(20 * MIB)
assert len([bytearray(1000) for _ in range(1000)]) == 1000
the.lower()
assert not fails(90 * MIB)
""")


def test_many_small_ones_reach_the_fence_together_and_no_further() -> None:
    run("""
the.raise_for(Sample(0, 20 * MIB, 100 * MIB))
kept = []
try:
    while True:
        kept.append(bytearray(b"x" * 100_000))
except MemoryError:
    pass
assert 30 * MIB < len(kept) * 100_000 < 90 * MIB, len(kept)
del kept[:100]
""")


def test_it_closes_in_when_others_take_memory_and_never_creeps_up() -> None:
    run("""
the.raise_for(Sample(0, 20 * MIB, 200 * MIB))
first = the.ceiling
the.raise_for(Sample(0, 100 * MIB, 200 * MIB))
assert the.ceiling.private < first.private
for _ in range(50):
    the.raise_for(Sample(0, 199 * MIB, 200 * MIB))
assert room() < 8 * MIB, room()
""")


def test_tightened_it_leaves_half_of_the_room() -> None:
    run("""
the.tighten()
assert the.ceiling is None
the.raise_for(Sample(0, 20 * MIB, 200 * MIB))
before = room()
the.tighten()
assert 0.4 * before < room() < 0.6 * before, (before, room())
""")


def test_without_a_limit_there_is_no_fence() -> None:
    run("""
the.raise_for(Sample(0, 20 * MIB, None))
assert the.ceiling is None
assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY
""")


def test_a_limit_of_the_system_is_never_raised() -> None:
    run("""
resource.setrlimit(resource.RLIMIT_DATA, (400 * MIB, 400 * MIB))
the.raise_for(Sample(0, 20 * MIB, 4000 * MIB))
assert resource.getrlimit(resource.RLIMIT_DATA) == (400 * MIB, 400 * MIB)
the.lower()
assert resource.getrlimit(resource.RLIMIT_DATA) == (400 * MIB, 400 * MIB)
""")


def test_whom_to_kill_first_can_be_said() -> None:
    run("""
fence.prefer_as_victim(1000)
assert open("/proc/self/oom_score_adj").read() == "1000\\n"
fence.prefer_as_victim(-1000)  # needs a privilege; without it nothing happens
""")


def test_what_is_mapped_is_more_than_what_is_private_and_that_more_than_what_is_touched() -> None:
    mapped = Mapped.of()
    assert mapped.everything > mapped.private > 1 << 20
    assert mapped.touched > 1 << 20
    with pytest.raises(OSError, match="No such file"):
        Mapped.of(2**22 + 1)


def test_shared_mappings_are_held_as_well() -> None:
    run("""
fence.one_arena()
the.raise_for(Sample(0, 20 * MIB, 100 * MIB))
mmap.mmap(-1, 20 * MIB)
try:
    mmap.mmap(-1, 90 * MIB)
except OSError:
    pass
else:
    raise AssertionError
""")


def test_tightened_it_never_gives_way_to_shared_memory_that_grew() -> None:
    run("""
fence.one_arena()
the.raise_for(Sample(0, 20 * MIB, 100 * MIB))
kept = mmap.mmap(-1, 60 * MIB)
before = resource.getrlimit(resource.RLIMIT_AS)[0]
the.tighten()
assert resource.getrlimit(resource.RLIMIT_AS)[0] < before
""")


def test_what_is_taken_while_it_is_measured_does_not_lift_it() -> None:
    run("""
before = fence.Mapped.of()
kept = mmap.mmap(-1, 60 * MIB)
the.raise_for(Sample(0, 80 * MIB, 100 * MIB), before)
assert resource.getrlimit(resource.RLIMIT_AS)[0] < before.everything + 60 * MIB
""")
