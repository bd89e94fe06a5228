"""`bigfive doctor --fix`: what is announced is what is done, and what could not be done says how to do it by hand."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from harness import fixes
from harness.doctor import CAPABILITIES, find_program, own_programs
from harness.errors import EnvironmentLacks
from harness.fixes import FIXES, Machine, Step, chosen, plan, take
from support.suites import BIGFIVE, bigfive

DEBIAN = Machine(distribution="debian", name="Debian", user=0, systemd=False, go=(1, 26))
UBUNTU = replace(DEBIAN, distribution="ubuntu", name="Ubuntu", systemd=True)

# A package manager with one package in it; what it was asked is on record.
APT = """#!/bin/sh
echo "$@" >>"{folder}/asked"
case "$*" in
  *install*strace*) {result} ;;
esac
"""


def commands(steps: tuple[Step, ...]) -> list[str]:
    return [" ".join(step.act) for step in steps if isinstance(step.act, tuple)]


def quiet(_what: str, _part: float) -> None:
    return


def test_every_fix_is_of_a_capability_and_has_something_to_do() -> None:
    assert FIXES.keys() <= CAPABILITIES.keys()
    for name in FIXES:
        for machine in (DEBIAN, UBUNTU, replace(DEBIAN, go=None), replace(DEBIAN, go=(1, 19))):
            assert plan([name], machine), name


def test_nothing_is_done_for_nothing() -> None:
    assert plan([], DEBIAN) == ()


def test_packages_are_installed_at_once_after_one_look_at_what_there_is() -> None:
    done = commands(plan(["strace", "node", "faketime"], DEBIAN))
    assert done == [
        "apt-get update --quiet",
        "apt-get install --yes --no-install-recommends strace nodejs libfaketime",
    ]


def test_an_announced_step_shows_the_command_with_its_environment() -> None:
    shown = [str(step) for step in plan(["strace"], DEBIAN)]
    assert shown[1] == "DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends strace"


def test_the_engine_is_started_by_systemd_or_by_us() -> None:
    assert "systemctl enable --now docker" in commands(plan(["docker"], UBUNTU))
    last = plan(["docker"], DEBIAN)[-1]
    assert last.act is fixes.start_dockerd
    assert "dockerd.log" in str(last)


def test_the_image_comes_after_the_engine_even_where_only_the_image_was_asked_for() -> None:
    assert [capability.name for capability in chosen(["image"])] == ["docker", "image"]
    order = [str(step) for step in plan(["image", "docker"], DEBIAN)]
    assert "start `dockerd`" in order[-2]
    assert "make the image" in order[-1]


def test_without_names_everything_that_has_a_fix_is_looked_at() -> None:
    assert [capability.name for capability in chosen([])] == list(FIXES)


def test_a_server_that_its_package_starts_is_stopped_again() -> None:
    assert commands(plan(["redis-server"], UBUNTU))[-1] == "systemctl disable --now redis-server"
    assert commands(plan(["redis-server"], DEBIAN))[-1] == "service redis-server stop"


def test_chromium_is_a_package_on_debian_and_a_snap_on_ubuntu() -> None:
    assert commands(plan(["chromium"], DEBIAN))[-1].endswith("install --yes --no-install-recommends chromium")
    assert commands(plan(["chromium"], UBUNTU)) == ["snap install chromium"]


def test_toxiproxy_is_built_into_our_own_folder_by_the_go_that_is_here() -> None:
    *_, install, rename = plan(["toxiproxy-server"], DEBIAN)
    assert isinstance(install.act, tuple)
    assert install.act[:2] == ("go", "install")
    assert install.environment["GOBIN"] == str(own_programs())
    assert isinstance(rename.act, tuple)
    assert rename.act[-1] == str(own_programs() / "toxiproxy-server")


def test_an_old_go_or_none_gets_what_it_needs_first() -> None:
    old = plan(["toxiproxy-server"], replace(DEBIAN, go=(1, 19)))
    assert fixes.build_toxiproxy in [step.act for step in old]
    assert "1.23" in " ".join(map(str, old))
    none = plan(["toxiproxy-server"], replace(DEBIAN, go=None))
    assert any(command.endswith("golang-go") for command in commands(none))


def test_what_we_have_built_is_found_though_it_is_not_on_the_path() -> None:
    program = own_programs() / "toxiproxy-server"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    assert find_program("toxiproxy-server") == (shutil.which("toxiproxy-server") or str(program))
    assert find_program("no-such-program-anywhere") is None


@pytest.mark.parametrize(
    ("machine", "words"),
    [(replace(DEBIAN, distribution="fedora", name="Fedora 44"), "Fedora 44"), (replace(DEBIAN, user=1000), "not root")],
)
def test_elsewhere_it_refuses_and_says_what_to_do_by_hand(machine: Machine, words: str) -> None:
    refusal = machine.refusal([CAPABILITIES["strace"]])
    assert refusal is not None
    assert words in str(refusal)
    assert "strace: apt-get install strace" in refusal.fix


@pytest.mark.parametrize("machine", [DEBIAN, UBUNTU])
def test_on_debian_and_ubuntu_as_root_it_does_not_refuse(machine: Machine) -> None:
    assert machine.refusal([CAPABILITIES["strace"]]) is None


def test_a_failed_step_shows_the_last_lines_of_what_it_said() -> None:
    failing = Step("fail", ("sh", "-c", "seq 100; echo E: no such package >&2; exit 3"))
    with pytest.raises(EnvironmentLacks, match=r"status 3:(\n    \d+)+\n    E: no such package") as caught:
        take(failing, quiet)
    assert "    93\n" not in str(caught.value)
    assert "doctor --fix" in caught.value.fix


def test_a_program_that_is_missing_is_named() -> None:
    with pytest.raises(EnvironmentLacks, match="install no-such-program"):
        take(Step("x", ("no-such-program",)), quiet)


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A PATH with a shell, and a package manager that has nothing but strace."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in ("sh", "chmod", "touch"):
        (folder / program).symlink_to(shutil.which(program) or program)
    manager(folder, f'touch "{folder}/strace"; chmod 755 "{folder}/strace"')
    return folder


def manager(folder: Path, result: str) -> None:
    program = folder / "apt-get"
    program.write_text(APT.format(folder=folder, result=result))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)


def fix(bare: Path, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    command = [*BIGFIVE, "doctor", "--fix", *arguments]
    environment = {**os.environ, "PATH": str(bare)}
    return subprocess.run(command, cwd=bare, env=environment, input=answer, capture_output=True, text=True, check=False)


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="--fix installs packages")
needs_debian = pytest.mark.skipif(
    Machine.here().distribution not in {"debian", "ubuntu"}, reason="--fix knows Debian and Ubuntu"
)


@needs_root
@needs_debian
def test_what_was_missing_is_there_afterwards_and_a_second_time_nothing_is_done(bare: Path) -> None:
    first = fix(bare, "strace", "--yes")
    assert (first.returncode, first.stderr) == (0, "")
    assert "ok       strace" in first.stdout
    asked = (bare / "asked").read_text()
    assert asked.splitlines() == ["update --quiet", "install --yes --no-install-recommends strace"]
    second = fix(bare, "strace", "--yes")
    assert (second.returncode, second.stdout) == (0, "nothing is missing\n")
    assert (bare / "asked").read_text() == asked


@needs_root
@needs_debian
def test_who_says_no_gets_nothing(bare: Path) -> None:
    done = fix(bare, "strace", answer="n\n")
    assert done.returncode == 2
    assert "apt-get install --yes --no-install-recommends strace" in done.stdout
    assert not (bare / "asked").exists()


@needs_root
@needs_debian
def test_a_package_that_cannot_be_had_is_said_with_the_manager_s_words(bare: Path) -> None:
    manager(bare, "echo 'E: Unable to locate package strace'; exit 100")
    done = fix(bare, "strace", "--yes")
    assert done.returncode == 3
    assert "missing  strace" in done.stdout
    assert "status 100:\n    E: Unable to locate package strace" in done.stderr


@needs_root
@needs_debian
def test_what_is_still_missing_afterwards_is_3(bare: Path) -> None:
    manager(bare, "true")
    done = fix(bare, "strace", "--yes")
    assert done.returncode == 3
    assert "missing  strace" in done.stdout


def test_what_has_no_fix_says_what_to_do_by_hand(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    environment = {"BIGFIVE_STATE_DIR": str(tmp_path / "file" / "below")}
    done = bigfive("doctor", "--fix", "state-folder", cwd=tmp_path, environment=environment)
    assert done.returncode == 5
    assert "export BIGFIVE_STATE_DIR" in done.stderr


def test_an_unknown_capability_is_a_usage_error_that_lists_them(tmp_path: Path) -> None:
    done = bigfive("doctor", "dokcer", cwd=tmp_path, environment={})
    assert done.returncode == 4
    assert "docker" in done.stderr


def test_names_narrow_the_table_down(tmp_path: Path) -> None:
    done = bigfive("doctor", "linux", "own-name", cwd=tmp_path, environment={})
    assert [line.split()[1] for line in done.stdout.splitlines()] == ["linux", "own-name"]


@pytest.mark.chaos
def test_an_engine_that_answers_is_not_started_again(lacking: Callable[[str], None]) -> None:
    if not fixes._answers(fixes.Address(fixes.DEFAULT_URL)):
        lacking("no engine answers at the default socket: bigfive doctor --fix docker")
    said: list[str] = []
    fixes.start_dockerd(lambda what, _part: said.append(what))
    assert said == []
