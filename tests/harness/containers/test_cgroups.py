"""The kernel's counters: both versions read alike, from recorded trees and from the real thing."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.containers.cgroups import Cgroup
from harness.containers.engine import Engine, Order
from harness.errors import FaultNotProven
from harness.waiting import until

V1 = {
    "memory/docker/c1/memory.usage_in_bytes": "162529280\n",
    "memory/docker/c1/memory.stat": "cache 104857600\nrss 55574528\ntotal_inactive_file 62914560\n",
    "memory/docker/c1/memory.limit_in_bytes": "268435456\n",
    "memory/docker/c1/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "pids/docker/c1/pids.current": "7\n",
    "pids/docker/c1/pids.max": "20\n",
    "pids/docker/c1/pids.events": "max 21\n",
    "cpu,cpuacct/docker/c1/cpu.stat": "nr_periods 42\nnr_throttled 41\nthrottled_time 3100000000\n",
    "cpu,cpuacct/docker/c1/cpuacct.usage": "1234567890\n",
    "freezer/docker/c1/freezer.state": "FROZEN\n",
}
V1_LINES = "9:memory:/docker/c1\n8:pids:/docker/c1\n7:cpu,cpuacct:/docker/c1\n6:freezer:/docker/c1\n1:name=systemd:/\n"
SCOPE = "system.slice/docker-c1.scope"
V2 = {
    f"{SCOPE}/memory.current": "162529280\n",
    f"{SCOPE}/memory.stat": "anon 55574528\nfile 104857600\ninactive_file 62914560\n",
    f"{SCOPE}/memory.max": "268435456\n",
    f"{SCOPE}/memory.events": "low 0\nhigh 0\nmax 96\noom 2\noom_kill 2\n",
    f"{SCOPE}/pids.current": "7\n",
    f"{SCOPE}/pids.max": "20\n",
    f"{SCOPE}/pids.events": "max 21\n",
    f"{SCOPE}/cpu.stat": "usage_usec 1234567\nnr_periods 42\nnr_throttled 41\nthrottled_usec 3100000\n",
    f"{SCOPE}/cgroup.events": "populated 1\nfrozen 1\n",
}


def tree(folder: Path, files: dict[str, str], lines: str) -> Cgroup:
    for name, text in files.items():
        (folder / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup" / name).write_text(text)
    (folder / "proc" / "77").mkdir(parents=True)
    (folder / "proc" / "77" / "cgroup").write_text(lines)
    return Cgroup.of(77, folder / "cgroup", folder / "proc")


@pytest.fixture(params=["version 1", "version 2", "version 2 under unified"])
def cgroup(request: pytest.FixtureRequest, tmp_path: Path) -> Cgroup:
    if request.param == "version 1":
        return tree(tmp_path, V1, V1_LINES)
    prefix = "unified/" if "unified" in request.param else ""
    return tree(tmp_path, {prefix + name: text for name, text in V2.items()}, f"0::/{SCOPE}\n")


def test_both_versions_say_the_same(cgroup: Cgroup) -> None:
    assert cgroup.memory_bytes() == 95 << 20
    assert cgroup.memory_limit() == 256 << 20
    assert cgroup.oom_kills() == 2
    assert (cgroup.pids(), cgroup.pids_limit(), cgroup.forks_refused()) == (7, 20, 21)
    assert cgroup.cpu_ns() // 1000 == 1234567
    assert cgroup.throttled_ns() == 3_100_000_000
    assert cgroup.frozen()


def test_no_limit_is_none_in_both(tmp_path: Path) -> None:
    old = tree(tmp_path / "1", V1 | {"memory/docker/c1/memory.limit_in_bytes": f"{2**63 - 4096}\n"}, V1_LINES)
    new = tree(tmp_path / "2", V2 | {f"{SCOPE}/memory.max": "max\n", f"{SCOPE}/pids.max": "max\n"}, f"0::/{SCOPE}\n")
    assert old.memory_limit() is None
    assert new.memory_limit() is None
    assert new.pids_limit() is None


def test_a_controller_of_version_1_comes_before_the_unified_hierarchy(tmp_path: Path) -> None:
    lines = f"{V1_LINES}0::/docker/c1\n"
    both = tree(tmp_path, V1 | {"unified/docker/c1/cgroup.events": "populated 1\nfrozen 0\n"}, lines)
    assert both.frozen()
    assert both.unified == tmp_path / "cgroup/unified/docker/c1"


def test_a_process_that_is_gone_has_none(tmp_path: Path) -> None:
    with pytest.raises(FaultNotProven, match="process 78 is gone"):
        Cgroup.of(78, tmp_path, tmp_path)


def test_what_no_hierarchy_has_is_said(tmp_path: Path) -> None:
    bare = tree(tmp_path, {}, "1:name=systemd:/\n")
    with pytest.raises(FaultNotProven, match=r"memory\.current"):
        bare.memory_bytes()


@pytest.mark.chaos
def test_the_kernel_counts_what_a_real_container_does(engine: Engine, image: str, label: str) -> None:
    fill = "import time; held = bytearray(40 << 20); print('full', flush=True); time.sleep(60)"
    limits = {"Memory": 128 << 20, "MemorySwap": 128 << 20, "PidsLimit": 16}
    order = Order(image=image, command=["python3", "-c", fill], label=label, name="filler", limits=limits)
    container = engine.run(order)
    until(lambda: "full" in engine.logs(container.id), "the memory to be filled", 20.0)
    cgroup = Cgroup.of(container.pid)
    assert 40 << 20 <= cgroup.memory_bytes() < 100 << 20
    assert (cgroup.memory_limit(), cgroup.pids_limit(), cgroup.oom_kills()) == (128 << 20, 16, 0)
    assert cgroup.pids() == 1
    assert cgroup.cpu_ns() > 0
    engine.pause(container.id)
    assert cgroup.frozen()
    engine.unpause(container.id)
    assert not cgroup.frozen()
