"""Limits and quantities: read, checked, applied, read back."""

from __future__ import annotations

import pickle
import resource
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.resources_kit import TREES
from targets.resources import cgroups
from targets.resources.errors import BadLimits, Refused
from targets.resources.limits import ContainerLimits, Effective, HostFacts
from targets.resources.units import GIB, KIB, MIB, about, duration, rate, show_size, size

HOST = HostFacts(cpus=2, memory=8 * GIB, swap=0, pids=32768, open_files=1 << 20)
ALL = ContainerLimits.parse(
    {"cpus": 0.5, "memory": "256MiB", "swap": "64MiB", "pids": 64, "open_files": 1024, "tmp": "16MiB"}
)


@given(st.integers(0, 1 << 50))
def test_a_size_that_is_printed_reads_back_the_same(count: int) -> None:
    assert size(show_size(count)) == count


def test_quantities_are_read_as_people_write_them() -> None:
    assert [size("512MiB"), size("1.5 KiB"), size("3MB"), size(7)] == [512 * MIB, 1536, 3_000_000, 7]
    assert [duration("250ms"), duration("2min"), duration(0.5)] == [0.25, 120, 0.5]
    assert [rate("2GiB/s"), rate(5)] == [2 * GIB, 5]
    assert about(1.5 * MIB) == "1.5 MiB"


@pytest.mark.parametrize("read", [size, duration, rate])
@pytest.mark.parametrize("text", ["", "5", "x", "5 parsecs", "-1MiB", None, True, -1, [1]])
def test_what_is_no_quantity_is_refused_with_an_example(read: type, text: object) -> None:
    with pytest.raises(ValueError, match=r"expected a number with a unit .* such as"):
        read(text)


class TestReading:
    def test_all_of_it(self) -> None:
        everything = ContainerLimits(cpus=0.5, memory=256 * MIB, swap=64 * MIB, pids=64, open_files=1024, tmp=16 * MIB)
        assert everything == ALL
        assert ContainerLimits.parse(ALL.as_texts()) == ALL

    def test_zero_swap_is_a_limit_and_survives_being_written_down(self) -> None:
        limits = ContainerLimits(memory=64 * MIB, swap=0)
        assert ContainerLimits.parse(limits.as_texts()) == limits

    def test_every_mistake_is_reported_at_once_with_what_to_do(self) -> None:
        with pytest.raises(BadLimits) as wrong:
            ContainerLimits.parse(
                {"memroy": "1GiB", "tea": 1, "memory": "much", "cpus": 0, "pids": 1.5, "swap": "1MiB"}
            )
        assert [problem.where for problem in wrong.value.problems] == ["memroy", "tea", "memory", "cpus", "pids"]
        assert "did you mean 'memory'?" in str(wrong.value)
        assert "got 'much'; expected a number with a unit" in str(wrong.value)
        assert str(pickle.loads(pickle.dumps(wrong.value))) == str(wrong.value)  # noqa: S301  our own


class TestTheHost:
    def test_what_it_can_give_is_accepted(self) -> None:
        ContainerLimits(cpus=2, memory=8 * GIB, swap=0, pids=10, open_files=10, tmp=GIB).validate(HOST)
        ContainerLimits().validate(HOST)

    def test_everything_that_it_cannot_give_is_reported_at_once(self) -> None:
        greedy = ContainerLimits(cpus=4, memory=GIB * 9, swap=GIB, pids=10**6, open_files=1 << 21, tmp=10 * GIB)
        with pytest.raises(BadLimits) as wrong:
            greedy.validate(HOST)
        where = [problem.where for problem in wrong.value.problems]
        assert where == ["cpus", "memory", "swap", "pids", "open_files", "tmp"]
        assert "the host has 2 processors, got 4; choose 0.01 to 2" in str(wrong.value)

    def test_swap_alone_and_too_little_memory_are_refused(self) -> None:
        with pytest.raises(BadLimits, match="means nothing without a limit on memory"):
            ContainerLimits(swap=0).validate(HOST)
        with pytest.raises(BadLimits, match="choose 6MiB to"):
            ContainerLimits(memory=MIB).validate(HOST)
        with pytest.raises(BadLimits, match="0 would mean no limit"):
            ContainerLimits(tmp=0).validate(HOST)

    def test_it_is_asked(self) -> None:
        host = HostFacts.read()
        assert host.cpus >= 1
        assert host.memory > 64 * MIB
        assert host.open_files >= resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class TestApplying:
    def test_as_members_of_the_engines_host_config(self) -> None:
        assert ALL.host_config() == {
            "NanoCpus": 500_000_000,
            "Memory": 256 * MIB,
            "MemorySwap": 320 * MIB,
            "PidsLimit": 64,
            "Ulimits": [{"Name": "nofile", "Soft": 1024, "Hard": 1024}],
            "Tmpfs": {"/tmp": f"size={16 * MIB}"},  # noqa: S108
        }
        assert ContainerLimits().host_config() == {}
        assert ContainerLimits(memory=64 * MIB).host_config() == {"Memory": 64 * MIB}

    def test_as_files_of_version_1_memory_comes_before_memory_and_swap(self) -> None:
        assert ALL.cgroup_files(1) == [
            ("memory", "memory.limit_in_bytes", str(256 * MIB)),
            ("memory", "memory.memsw.limit_in_bytes", str(320 * MIB)),
            ("pids", "pids.max", "64"),
            ("cpu", "cpu.cfs_period_us", "100000"),
            ("cpu", "cpu.cfs_quota_us", "50000"),
        ]

    def test_as_files_of_version_2(self) -> None:
        assert ALL.cgroup_files(2) == [
            ("memory", "memory.max", str(256 * MIB)),
            ("memory", "memory.swap.max", str(64 * MIB)),
            ("pids", "pids.max", "64"),
            ("cpu", "cpu.max", "50000 100000"),
        ]
        assert ContainerLimits().cgroup_files(1) == ContainerLimits().cgroup_files(2) == []


class TestReadingBack:
    def test_what_is_in_force_as_asked_makes_no_difference(self) -> None:
        effective = Effective.read(cgroups.of(root=TREES / "v2"), Path("/proc"))
        assert (effective.cpus, effective.memory, effective.swap, effective.pids) == (0.25, 256 * MIB, 0, 64)
        asked = ContainerLimits(cpus=0.25, memory=256 * MIB + 100, swap=0, pids=64, open_files=effective.open_files)
        assert asked.differences(effective) == []

    def test_each_difference_says_what_should_be_and_what_is(self) -> None:
        effective = Effective(cpus=1, memory=64 * MIB, swap=None, pids=65, open_files=1024, tmp=16 * MIB + 4 * KIB)
        found = ALL.differences(effective)
        assert [problem.where for problem in found] == ["cpus", "memory", "swap", "pids", "tmp"]
        assert str(found[1]).startswith("memory: should be 256MiB, got 64MiB;")
        assert str(found[2]).startswith("swap: should be 64MiB, got no limit;")

    def test_this_process_can_be_asked(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert Effective.read().open_files == soft
        assert Effective.read(tmp=Path(tempfile.gettempdir(), "none")).tmp is None
        assert hard >= soft


def test_a_refusal_can_be_sent_to_another_process() -> None:
    refused = pickle.loads(pickle.dumps(Refused("no", {"error": "full"})))  # noqa: S301  our own
    assert (str(refused), refused.details, refused.certainly_not_done) == ("no", {"error": "full"}, True)
