"""Recovery is a pure function on bytes, so here every flip of every bit and every truncation is simply tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.state_kit import NEVER, build, contents, fill, outcome, values
from targets.state import documents, frames, layout, records
from targets.state.errors import UnknownFormat, Unrecoverable
from targets.state.records import Header, Put, Record
from targets.state.recovery import Recovery, create, recover
from targets.state.store import StateStore

Files = dict[str, bytes]


SORTS = ["state.json", "old snapshot", "new snapshot", "sealed journal", "sealed mirror", "journal", "mirror"]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return build(tmp_path_factory.mktemp("healthy"), rotations=1, per_rotation=2)


@pytest.fixture(scope="module")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Every sort of file and record, each as small as it can be: all its bits are flipped in turn."""
    folder = tmp_path_factory.mktemp("smallest")
    store = StateStore(folder, NEVER)
    store.write("k", 1)
    store.rotate()
    store.write("k", 2)
    files = contents(folder)
    store.close()
    return files


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return build(tmp_path_factory.mktemp("other"), rotations=1, per_rotation=2)


def name_of(sort: str, files: Files) -> str:
    """Return the name of the file of this sort in a store of two generations."""
    snapshots = sorted(filter(layout.is_snapshot, files))
    return {
        "state.json": layout.STATE,
        "old snapshot": snapshots[0],
        "new snapshot": snapshots[1],
        "sealed journal": layout.journal(1),
        "sealed mirror": layout.mirror(1),
        "journal": layout.journal(2),
        "mirror": layout.mirror(2),
    }[sort]


def records_of(data: bytes) -> list[bytes]:
    return data.splitlines(keepends=True)


def flip(data: bytes, bit: int) -> bytes:
    flipped = bytearray(data)
    flipped[bit // 8] ^= 1 << bit % 8
    return bytes(flipped)


def damaged(recovery: Recovery) -> list[str]:
    return [finding.file for finding in recovery.findings if finding.kind == "damage"]


def assert_repaired(files: Files, name: str, truth: Recovery) -> None:
    """Recover; the damage must be found in exactly this file, and everything be as if it had never been."""
    recovery = recover(files)
    assert damaged(recovery) == [name]
    assert recovery.files == truth.files
    assert recovery.entries == truth.entries


def test_a_healthy_store_has_no_findings_and_needs_no_change(healthy: Files) -> None:
    recovery = recover(healthy)
    assert recovery.findings == ()
    assert recovery.files == healthy
    assert recovery.certain


@pytest.mark.parametrize("sort", SORTS)
def test_every_single_flipped_bit_is_found_and_repaired_to_the_byte(smallest: Files, sort: str) -> None:
    name, truth = name_of(sort, smallest), recover(smallest)
    for bit in range(8 * len(smallest[name])):
        assert_repaired({**smallest, name: flip(smallest[name], bit)}, name, truth)


@pytest.mark.parametrize("sort", SORTS)
def test_every_truncation_is_found_and_repaired_to_the_byte(smallest: Files, sort: str) -> None:
    name, truth = name_of(sort, smallest), recover(smallest)
    for length in range(len(smallest[name])):
        recovery = recover({**smallest, name: smallest[name][:length]})
        assert [finding.file for finding in recovery.findings] == [name], length
        assert recovery.files == truth.files, length


@pytest.mark.parametrize("sort", ["state.json", "new snapshot", "sealed journal", "sealed mirror", "journal", "mirror"])
def test_a_missing_file_is_rebuilt_to_the_byte(healthy: Files, sort: str) -> None:
    name, truth = name_of(sort, healthy), recover(healthy)
    assert_repaired({other: data for other, data in healthy.items() if other != name}, name, truth)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("garbage", [b"", b"garbage", b"\0" * 4096, b"{}\n"])
def test_garbage_in_place_of_a_file_is_replaced_by_what_was_there(healthy: Files, sort: str, garbage: bytes) -> None:
    name, truth = name_of(sort, healthy), recover(healthy)
    assert_repaired({**healthy, name: garbage}, name, truth)


@pytest.mark.parametrize("sort", SORTS)
def test_garbage_behind_a_file_is_cut_off(healthy: Files, sort: str) -> None:
    name, truth = name_of(sort, healthy), recover(healthy)
    assert_repaired({**healthy, name: healthy[name] + b"garbage"}, name, truth)


@pytest.mark.parametrize("sort", SORTS)
def test_the_file_of_another_store_is_not_believed(healthy: Files, other: Files, sort: str) -> None:
    name, truth = name_of(sort, healthy), recover(healthy)
    foreign = {**other, name_of("old snapshot", healthy): other[name_of("old snapshot", other)]}
    assert_repaired({**healthy, name: foreign[name_of(sort, foreign)]}, name, truth)


@pytest.mark.parametrize("sort", ["sealed journal", "sealed mirror", "journal", "mirror"])
def test_records_dropped_repeated_or_reordered_are_put_right(healthy: Files, sort: str) -> None:
    name, truth = name_of(sort, healthy), recover(healthy)
    records = records_of(healthy[name])
    for one in range(len(records) - 1):
        for two in range(one + 1, len(records)):
            swapped = records.copy()
            swapped[one], swapped[two] = swapped[two], swapped[one]
            misdirected = [*records[:one], records[two], *records[one + 1 :]]
            repeated = [*records[: two + 1], records[one], *records[two + 1 :]]
            dropped = records[:one] + records[two:]
            for wrong in (swapped, misdirected, repeated, dropped):
                assert_repaired({**healthy, name: b"".join(wrong)}, name, truth)


def test_an_older_copy_of_state_json_is_noticed(tmp_path: Path) -> None:
    store = StateStore(tmp_path, NEVER)
    fill(store, 3)
    store.checkpoint()
    old = (tmp_path / layout.STATE).read_bytes()
    fill(store, 3, 10)
    store.checkpoint()
    files = contents(tmp_path)
    store.close()
    assert_repaired({**files, layout.STATE: old}, layout.STATE, recover(files))


def test_an_older_copy_of_a_journal_is_noticed(healthy: Files) -> None:
    truth, (name, mirror) = recover(healthy), (layout.journal(2), layout.mirror(2))
    for count in range(1, len(records_of(healthy[name]))):
        old = b"".join(records_of(healthy[name])[:count])
        assert recover({**healthy, name: old}).files == truth.files
        recovery = recover({**healthy, mirror: old})
        assert recovery.files == truth.files
        # The last record's acknowledgement is written nowhere: a mirror without it may be a crash.
        assert damaged(recovery) == ([mirror] if count < len(records_of(healthy[name])) - 1 else [])


def test_damage_in_different_places_of_both_copies_is_repaired(healthy: Files) -> None:
    truth, (name, mirror) = recover(healthy), (layout.journal(2), layout.mirror(2))
    for gap in range(len(records_of(healthy[name]))):
        records = records_of(healthy[name])
        helix = {name: b"".join([*records[:gap], b"#" * 40, *records[gap + 1 :]])}
        records[gap - 1] = b"#" * 70
        helix[mirror] = b"".join(records)
        assert recover({**healthy, **helix}).files == truth.files


def test_each_record_needs_one_good_copy_however_the_bad_ones_are_spread(tmp_path: Path) -> None:
    store = StateStore(tmp_path, NEVER)
    fill(store, 60)
    files = contents(tmp_path)
    store.close()
    bad = dict(files)
    for first, name in enumerate((layout.journal(1), layout.mirror(1))):
        copy = records_of(files[name])
        copy[first::2] = [b"#" * len(record) for record in copy[first::2]]
        bad[name] = b"".join(copy)
    recovery = recover(bad)
    assert damaged(recovery) == [layout.journal(1), layout.mirror(1)]
    assert recovery.files == files
    assert recovery.entries == recover(files).entries


@pytest.mark.parametrize("sort", ["sealed journal", "sealed mirror"])
def test_a_generation_that_stands_behind_another_in_one_file_is_cut_off(healthy: Files, sort: str) -> None:
    name, truth = name_of(sort, healthy), recover(healthy)
    assert_repaired({**healthy, name: healthy[name] + healthy[layout.journal(2)]}, name, truth)


class TestTheEndOfTheJournal:
    """A bad last record is torn and cut, or corrupt and repaired or refused. The right answers are opposite."""

    @pytest.fixture
    def journal(self, healthy: Files) -> bytes:
        return healthy[layout.journal(2)]

    @pytest.fixture
    def last(self, journal: bytes) -> bytes:
        return records_of(journal)[-1]

    def ending(self, healthy: Files, journal: bytes, mirror: bytes | None) -> Files:
        files = {**healthy, layout.journal(2): journal}
        if mirror is None:
            del files[layout.mirror(2)]
        else:
            files[layout.mirror(2)] = mirror
        return files

    def test_an_append_cut_short_is_cut_off(self, healthy: Files, journal: bytes, last: bytes) -> None:
        before = journal[: -len(last)]
        for length in range(1, len(last), 3):
            recovery = recover(self.ending(healthy, before + last[:length], before))
            assert [finding.kind for finding in recovery.findings] == ["torn"]
            assert recovery.files[layout.journal(2)] == before

    def test_an_append_that_was_whole_but_never_acknowledged_counts(
        self, healthy: Files, journal: bytes, last: bytes
    ) -> None:
        recovery = recover(self.ending(healthy, journal, journal[: -len(last)]))
        assert [finding.kind for finding in recovery.findings] == ["behind"]
        assert recovery.files == healthy

    def test_a_bad_record_before_a_good_one_is_never_cut(self, healthy: Files, journal: bytes, last: bytes) -> None:
        before_last = journal[: -len(last)]
        bad = before_last[:-30] + b"#" * 29 + b"\n"
        assert isinstance(outcome(self.ending(healthy, bad + last, bad + last)), Unrecoverable)

    def test_a_bad_last_record_that_the_mirror_has_bytes_of_is_refused(self, healthy: Files, journal: bytes) -> None:
        bad = journal[:-30] + b"#" * 29 + b"\n"
        refusal = outcome(self.ending(healthy, bad, bad))
        assert isinstance(refusal, Unrecoverable)
        assert refusal.file == layout.journal(2)
        assert refusal.offset == len(journal) - len(records_of(journal)[-1])

    def test_a_bad_last_record_without_any_mirror_is_refused(self, healthy: Files, journal: bytes) -> None:
        bad = journal[:-30] + b"#" * 29 + b"\n"
        assert isinstance(outcome(self.ending(healthy, bad, None)), Unrecoverable)

    def test_a_bad_last_record_that_the_intact_mirror_lacks_was_never_acknowledged(
        self, healthy: Files, journal: bytes, last: bytes
    ) -> None:
        bad = journal[:-30] + b"#" * 29 + b"\n"
        recovery = recover(self.ending(healthy, bad, journal[: -len(last)]))
        assert recovery.files[layout.journal(2)] == journal[: -len(last)]

    def test_a_single_flipped_bit_is_corrected_where_no_copy_is_left(self, healthy: Files, journal: bytes) -> None:
        for bit in range(8 * (len(journal) - 40), 8 * len(journal), 29):
            bad = flip(journal, bit)
            recovery = recover(self.ending(healthy, bad, bad))
            assert recovery.files == healthy
            assert damaged(recovery) == [layout.journal(2), layout.mirror(2)]

    def test_a_journal_that_ends_before_state_json_is_refused(self, healthy: Files, journal: bytes) -> None:
        header = records_of(journal)[0]
        assert isinstance(outcome(self.ending(healthy, header, header)), Unrecoverable)


def test_a_lost_recovery_point_that_nothing_can_rebuild_is_replaced_by_a_fresh_start(tmp_path: Path) -> None:
    files = build(tmp_path, rotations=4)
    old = min(filter(layout.is_snapshot, files))
    truth = recover(files)
    recovery = recover({**files, old: b"garbage"})
    assert damaged(recovery) == [old]
    assert values(recovery) == values(truth)
    assert recovery.generation == truth.generation + 1
    again = recover(recovery.files)
    assert again.findings == ()
    assert values(again) == values(truth)


def test_the_loss_of_a_whole_sealed_generation_costs_recovery_points_and_no_data(healthy: Files) -> None:
    truth = recover(healthy)
    names = {layout.journal(1), layout.mirror(1)}
    assert values(recover({name: data for name, data in healthy.items() if name not in names})) == values(truth)
    assert values(recover({**healthy, **dict.fromkeys(names, b"garbage")})) == values(truth)


def test_headers_lost_in_both_copies_cost_no_data(healthy: Files) -> None:
    headless = {
        name: b"#" * 50 + data[50:] if layout.generation_of(name) is not None else data
        for name, data in healthy.items()
    }
    recovery = recover(headless)
    assert values(recovery) == values(recover(healthy))
    assert len(damaged(recovery)) == 4
    assert recover(recovery.files).findings == ()


def test_the_loss_of_every_document_costs_no_data_while_the_journals_reach_back(healthy: Files) -> None:
    journals = {name: data for name, data in healthy.items() if layout.generation_of(name) is not None}
    recovery = recover(journals)
    assert recovery.files == healthy


@pytest.mark.parametrize("lost", ["current generation", "all journals", "everything"])
def test_what_may_have_been_acknowledged_and_is_gone_is_refused(healthy: Files, lost: str) -> None:
    def is_lost(name: str) -> bool:
        generation = layout.generation_of(name)
        return lost == "everything" or generation == 2 or (lost == "all journals" and generation is not None)

    for replacement in (None, b"garbage"):
        files = {name: (replacement if is_lost(name) else data) for name, data in healthy.items()}
        refusal = outcome({name: data for name, data in files.items() if data is not None})
        assert isinstance(refusal, Unrecoverable), lost


def test_the_journals_of_another_store_are_refused(healthy: Files, other: Files) -> None:
    swapped = {name: other.get(name, data) if layout.generation_of(name) else data for name, data in healthy.items()}
    refusal = outcome(swapped)
    assert isinstance(refusal, Unrecoverable)
    assert "of another store" in str(refusal)


def test_a_newer_generation_of_another_store_is_refused_and_not_deleted(healthy: Files, other: Files) -> None:
    refusal = outcome({**healthy, layout.journal(9): other[layout.journal(2)]})
    assert isinstance(refusal, Unrecoverable)
    assert refusal.file == layout.journal(9)


def test_files_of_which_half_belong_to_another_store_are_refused(healthy: Files, other: Files) -> None:
    mixed = {name: healthy[name] for name in (layout.STATE, layout.journal(2))}
    refusal = outcome(
        {**mixed, layout.journal(1): other[layout.journal(1)], layout.snapshot(4): other[layout.snapshot(4)]}
    )
    assert "different stores" in str(refusal)


def test_an_unknown_format_is_refused_by_name() -> None:
    start = records.genesis("store")
    header, _ = records.encode(Record(0, 1, Header(7, 0, start.chain), start.chain, 1, "store"))
    with pytest.raises(UnknownFormat, match="format 7"):
        recover({layout.journal(1): header})


def test_a_record_that_is_no_record_is_damage_though_its_hash_is_right(healthy: Files) -> None:
    strange, _ = frames.encode(b'{"hello":"world"}')
    name = layout.mirror(1)
    assert_repaired({**healthy, name: strange + healthy[name]}, name, recover(healthy))


def test_recovery_of_what_was_recovered_changes_nothing(healthy: Files) -> None:
    for name in healthy:
        once = recover({**healthy, name: healthy[name][: len(healthy[name]) // 2]})
        twice = recover(once.files)
        assert twice.findings == ()
        assert twice.files == once.files


def test_a_repair_interrupted_between_any_two_files_can_be_repeated(healthy: Files) -> None:
    journal, mirror = layout.journal(2), layout.mirror(2)
    broken = {**healthy, layout.STATE: b"", mirror: b"garbage", sorted(filter(layout.is_snapshot, healthy))[1]: b""}
    truth = recover(broken).files
    for done in range(len(truth)):
        partly = {**broken, **dict(sorted(truth.items())[:done])}
        assert recover(partly).files == truth
    assert truth[journal] == healthy[journal]


def test_a_new_store_is_healthy() -> None:
    created = create("store")
    assert recover(created.files).findings == ()
    assert created.entries == {}


def test_replaying_from_zero_gives_every_snapshot(healthy: Files) -> None:
    entries: dict[str, records.Entry] = {}
    journals = b"".join(healthy[layout.journal(generation)] for generation in (1, 2))
    for frame in frames.scan(journals)[0]:
        record = records.decode(frame.body)
        assert record is not None
        if isinstance(record.op, Put):
            entries[record.op.key] = (record.op.version, record.op.value)
        name = layout.snapshot(record.seq)
        if name in healthy:
            assert documents.encode(record.store, records.Point(record.seq, frame.digest), entries) == healthy[name]
    assert entries == recover(healthy).entries
