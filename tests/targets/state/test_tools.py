"""check, restore, show and bench: what they say, what they leave as it is, and how they end."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from support.state_kit import NEVER, ROOT, build, contents, fill, python
from targets.durable import FolderLock
from targets.state import frames, inspection, layout
from targets.state.store import StateStore
from targets.state.tools import CANNOT, DONE, INTERRUPTED, LOST, NOT_SO, USAGE, main

JOURNAL, MIRROR, OLDER = layout.journal(3), layout.mirror(3), layout.journal(2)
SNAPSHOT = layout.snapshot(10)
BENCH = """
import sys
from targets.state.tools import main
sys.stderr = sys.stdout
sys.exit(main(["bench", "--seconds", "30", sys.argv[1]]))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store as a kill leaves it; without a lock, so that whoever makes one is seen."""
    folder = tmp_path / "store"
    build(folder)
    (folder / "lock").unlink()
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def damage(path: Path, record: int, byte: int = 90, change: int = 0xFF) -> int:
    """Change one byte of a record, counted from 0; return where the record begins."""
    data = bytearray(path.read_bytes())
    offset = frames.scan(bytes(data))[0][record].offset
    data[offset + byte] ^= change
    path.write_bytes(data)
    return offset


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def forget_the_file(path: Path) -> None:
    path.unlink()


def make_unreadable(path: Path) -> None:
    """Reading the beginning of this file is answered with EIO, by any kernel, for anybody."""
    path.unlink()
    path.symlink_to("/proc/self/mem")


def run(*arguments: object, prefix: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [*prefix, sys.executable, "-m", "targets.state", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)


def test_a_healthy_folder_is_called_healthy_and_left_as_it_is(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(folder)
    assert main(["check", str(folder)]) == DONE
    assert "healthy: nothing is damaged" in capsys.readouterr().out
    assert everything(folder) == before


@pytest.mark.parametrize("harm", [cut, forget_the_file, make_unreadable], ids=lambda harm: harm.__name__)
@pytest.mark.parametrize("name", [layout.STATE, JOURNAL, OLDER, layout.mirror(2), SNAPSHOT])
def test_any_damaged_file_is_named_then_repaired_then_healthy(
    folder: Path, name: str, harm: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    harm(folder / name)
    assert main(["check", str(folder)]) == NOT_SO
    assert f"damage    {name}: " in capsys.readouterr().out
    assert main(["restore", str(folder)]) == DONE
    assert "repaired: nothing acknowledged was lost" in capsys.readouterr().out
    assert main(["check", str(folder)]) == DONE
    assert contents(folder)[name].startswith(before[name])


def test_each_damaged_record_is_located_and_its_copy_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    second, first = damage(folder / JOURNAL, 4), damage(folder / JOURNAL, 1)
    assert main(["check", str(folder)]) == NOT_SO
    out = capsys.readouterr().out
    assert f"at offset {first}, " in out
    assert "bytes: record 12\n" in out
    assert f"at offset {second}, " in out
    assert "bytes: record 15\n" in out
    assert f"restore would rewrite it from {MIRROR}" in out


def test_of_records_in_the_wrong_order_the_stretch_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = (folder / JOURNAL).read_bytes()
    head, one, two, *rest = [data[frame.offset : frame.end] for frame in frames.scan(data)[0]]
    (folder / JOURNAL).write_bytes(b"".join([head, two, one, *rest]))
    assert main(["check", str(folder)]) == NOT_SO
    assert f"at offset {len(head)}, {len(one + two)} bytes: record 12 to 13\n" in capsys.readouterr().out


def test_a_wrong_byte_of_a_document_is_located(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray((folder / layout.STATE).read_bytes())
    data[100] ^= 1
    (folder / layout.STATE).write_bytes(data)
    assert main(["check", str(folder)]) == NOT_SO
    out = capsys.readouterr().out
    assert "at offset 100, 1 bytes\n" in out
    assert f"restore would rebuild it from {SNAPSHOT} and the journal" in out


def test_a_bit_that_flipped_in_both_copies_is_turned_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(folder / JOURNAL, 8, change=1)
    damage(folder / MIRROR, 8, change=1)
    assert main(["check", str(folder)]) == NOT_SO
    assert capsys.readouterr().out.count("turn one flipped bit back") == 2
    assert main(["restore", str(folder)]) == DONE


def test_an_older_recovery_point_that_is_lost_is_given_up(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(folder / JOURNAL, 1)
    damage(folder / MIRROR, 1)
    assert main(["restore", str(folder)]) == DONE
    assert "restore did give it up: no data depends on it" in capsys.readouterr().out
    assert main(["check", str(folder)]) == DONE


def test_an_unfinished_record_is_a_note_and_no_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (folder / JOURNAL).open("ab") as journal:
        journal.write(b"000000c")
    assert main(["check", str(folder)]) == DONE
    out = capsys.readouterr().out
    assert f"note      {JOURNAL}" in out
    assert "cut the unfinished record off" in out


def test_what_an_interrupted_write_left_is_named_and_removed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / ".state.json.tmp").write_bytes(b"half")
    assert main(["restore", str(folder)]) == DONE
    assert "spare     .state.json.tmp" in capsys.readouterr().out
    assert not (folder / ".state.json.tmp").exists()


@pytest.mark.parametrize("command", ["check", "restore", "show"])
def test_what_cannot_be_recovered_is_refused_and_left_as_it_is(
    folder: Path, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    offset = damage(folder / JOURNAL, 8)
    damage(folder / MIRROR, 8)
    before = everything(folder)
    assert main([command, str(folder)]) == LOST
    captured = capsys.readouterr()
    assert f"file {JOURNAL}, offset {offset}, record 19" in captured.out + captured.err
    assert everything(folder) == before


def test_two_unreadable_copies_are_refused_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_unreadable(folder / JOURNAL)
    make_unreadable(folder / MIRROR)
    assert main(["check", str(folder)]) == LOST
    out = capsys.readouterr().out
    assert out.count("it cannot be read: Input/output error") == 2
    assert "restore would leave it as it is" in out


def test_damaged_bytes_are_kept_and_their_place_is_printed(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(folder / JOURNAL, 2)
    damaged = (folder / JOURNAL).read_bytes()
    assert main(["restore", str(folder)]) == DONE
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("kept")]
    assert Path(line.split()[1]).read_bytes() == damaged


def test_a_dry_run_says_what_it_would_do_and_does_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    damage(folder / JOURNAL, 2)
    before = everything(folder)
    assert main(["restore", "--dry-run", str(folder)]) == DONE
    assert f"restore would rewrite it from {MIRROR}" in capsys.readouterr().out
    assert everything(folder) == before


def test_a_check_for_programs_says_the_same(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    offset = damage(folder / JOURNAL, 1)
    assert main(["check", "--json", str(folder)]) == NOT_SO
    told = json.loads(capsys.readouterr().out)
    assert (told["state"], told["keys"], told["seq"], told["generation"]) == ("damaged", 3, 19, 3)
    (finding,) = told["findings"]
    assert finding["file"] == JOURNAL
    assert finding["places"][0]["offset"] == offset
    assert finding["places"][0]["first"] == finding["places"][0]["last"] == 12


def test_a_folder_in_use_can_be_checked_but_not_restored(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = StateStore(folder, NEVER)
    assert main(["check", str(folder)]) == DONE
    assert f"in use    by process {os.getpid()}" in capsys.readouterr().out
    assert main(["restore", str(folder)]) == CANNOT
    assert f"in use by process {os.getpid()}; stop it first" in capsys.readouterr().err
    store.close()


def test_an_owner_that_cannot_be_seen_is_not_disturbed_either(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = FolderLock(folder)
    (folder / "lock").write_bytes(b"")
    before = contents(folder)
    assert main(["restore", str(folder)]) == CANNOT
    assert "in use by process unknown" in capsys.readouterr().err
    assert contents(folder) == before
    lock.release()


def test_a_folder_that_never_holds_still_is_not_judged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inspection, "_LOOKS", 0)
    assert main(["check", str(folder)]) == CANNOT
    assert "was written to all the time" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["check", "restore", "show"])
def test_a_missing_folder_is_not_made(tmp_path: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, str(tmp_path / "none")]) == CANNOT
    assert "there is no folder" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_a_folder_without_a_store_is_not_made_one_and_a_near_one_is_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", str(folder.parent)]) == CANNOT
    assert f"did you mean {folder}?" in capsys.readouterr().err
    assert not (folder.parent / layout.STATE).exists()


def test_an_unknown_format_is_left_to_the_version_that_knows_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = (folder / JOURNAL).read_bytes()
    header = frames.scan(data)[0][0]
    changed, _ = frames.encode(header.body.replace(b'"format":1', b'"format":2'))
    (folder / JOURNAL).write_bytes(changed + data[header.end :])
    before = everything(folder)
    for command in ("check", "restore", "show"):
        assert main([command, str(folder)]) == CANNOT
        assert "open it with the version that wrote it" in capsys.readouterr().err
    assert everything(folder) == before


def test_a_file_of_another_store_is_named_and_replaced(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = build(folder.parent / "other")
    (folder / OLDER).write_bytes(other[OLDER])
    assert main(["check", str(folder)]) == NOT_SO
    assert f"damage    {OLDER}: other records than expected" in capsys.readouterr().out
    assert main(["restore", str(folder)]) == DONE


def test_a_store_whose_creation_was_interrupted_is_healthy_and_empty(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in folder.iterdir():
        path.unlink()
    (folder / layout.snapshot(0)).write_bytes(b"")
    assert main(["check", str(folder)]) == DONE
    assert "nothing was ever acknowledged" in capsys.readouterr().out
    assert main(["show", str(folder)]) == DONE
    assert json.loads(capsys.readouterr().out) == {}
    assert main(["restore", str(folder)]) == DONE


def test_the_state_is_shown_with_damage_mended_in_memory_alone(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(folder / JOURNAL, 2)
    before = everything(folder)
    assert main(["show", str(folder)]) == DONE
    captured = capsys.readouterr()
    assert json.loads(captured.out)["k0"] == {"value": {"n": 201}, "version": 4}
    assert "some files are damaged" in captured.err
    assert everything(folder) == before


def test_one_key_is_shown_and_one_never_written_is_said_to_be_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(folder), "k1"]) == DONE
    assert json.loads(capsys.readouterr().out) == {"value": {"n": 100}, "version": 3}
    assert main(["show", str(folder), "k9"]) == NOT_SO
    assert main(["show", str(folder), "--history", "k9"]) == NOT_SO
    assert capsys.readouterr().err.count("'k9' was never written") == 2


def test_the_history_of_a_key_is_what_the_journals_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = StateStore(tmp_path, NEVER)
    store.write("old", "older than the journals: known from a snapshot alone")
    for rotation in range(4):
        fill(store, 3, rotation * 10)
        store.rotate()
    store.close()
    assert main(["show", str(tmp_path), "--history", "k0"]) == DONE
    told = json.loads(capsys.readouterr().out)
    assert [(each["version"], each["value"]) for each in told] == [(3, {"n": 20 + 1}), (4, {"n": 30})]
    assert told[0]["seq"] < told[1]["seq"]
    assert main(["show", str(tmp_path), "--history", "old"]) == DONE
    assert [(each["version"], each["seq"]) for each in json.loads(capsys.readouterr().out)] == [(1, None)]


def test_the_bench_compares_and_leaves_nothing_behind(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(folder)
    assert main(["bench", "--seconds", "0.4", "--json", str(folder)]) == DONE
    captured = capsys.readouterr()
    assert [each["unit"] for each in json.loads(captured.out)] == ["/s", "/s", "/s", "ms"]
    assert "measuring 10 writers (2 of 2)" in captured.err
    assert everything(folder) == before


def test_the_bench_tells_people_how_the_store_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--seconds", "0.2", str(tmp_path)]) == DONE
    assert "durable writes, 10 writers" in capsys.readouterr().out


def test_an_interrupted_bench_leaves_nothing_behind(tmp_path: Path) -> None:
    process = python("-u", "-c", BENCH, str(tmp_path))
    assert process.stdout is not None
    assert process.stdin is not None
    with process.stdout, process.stdin:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == INTERRUPTED
    assert list(tmp_path.iterdir()) == []


def test_wrong_usage_is_told_from_damage(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["check"], ["mend", str(folder)], ["bench", str(folder), "--seconds", "1000"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == USAGE
    assert "at most 60" in capsys.readouterr().err


def test_a_disk_without_room_is_said_to_be_so_and_loses_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = contents(folder)
    damage(folder / JOURNAL, 2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, hard))
    try:
        assert main(["restore", str(folder)]) == CANNOT
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    (line,) = capsys.readouterr().err.splitlines()
    assert "do it again; nothing is lost" in line
    assert main(["restore", str(folder)]) == DONE
    assert contents(folder)[JOURNAL].startswith(before[JOURNAL])


def test_a_folder_that_may_not_be_written_to_can_be_checked_and_is_not_restored(folder: Path) -> None:
    damage(folder / JOURNAL, 2)
    folder.chmod(0o500)
    # Root may write anywhere unless it gives that up.
    caps = "-dac_override,-dac_read_search"
    prefix = ("setpriv", f"--bounding-set={caps}", f"--inh-caps={caps}") if os.geteuid() == 0 else ()
    assert run("check", folder, prefix=prefix).returncode == NOT_SO
    ended = run("restore", folder, prefix=prefix)
    folder.chmod(0o700)
    assert ended.returncode == CANNOT
    assert "do it as a user who may; nothing was changed" in ended.stderr


def test_a_reader_that_has_seen_enough_is_no_error(folder: Path) -> None:
    process = python("-m", "targets.state", "show", str(folder))
    assert process.stdout is not None
    process.stdout.close()
    assert process.wait(20) == DONE
    assert process.stdin is not None
    process.stdin.close()
