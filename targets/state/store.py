"""StateStore: a map of keys to versioned JSON values that survives what can happen to it. Its promises: README.md.

Two locks, always taken in this order: `_care` (checkpoint, rotation and scrub: one at a time) and the ledger's turn
(who appends).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

import msgspec

from targets.durable import FolderLock, create_folder, failpoint, replace
from targets.state import documents, layout, recovery
from targets.state.blueprint import SNAPSHOTS_KEPT
from targets.state.diagnosis import describe
from targets.state.errors import CannotOpen, Unrecoverable
from targets.state.journal import Journal, Seal
from targets.state.ledger import Ledger
from targets.state.records import FORMAT, Entry, Header
from targets.state.recovery import Recovery
from targets.state.settings import Settings
from targets.state.validator import StateValidator
from targets.state.vault import Vault

EVENTS = ("damage.detected", "restore.begin", "restore.end", "snapshot.begin", "snapshot.end")
FAILPOINTS = (
    "journal.before_append",
    "journal.before_fsync",
    "journal.after_fsync",
    "mirror.after_write",
    "checkpoint.before_rename",
    "checkpoint.after_rename",
    "snapshot.before_rename",
    "snapshot.after_rename",
    "rotate.before_rename",
    "rotate.after_rename",
    "rotate.before_switch",
    "rotate.before_prune",
    "restore.before_aside",
    "aside.before_rename",
    "aside.after_rename",
    "restore.before_rename",
    "restore.after_rename",
    "restore.before_drop",
)


class Emit(Protocol):
    """Takes the store's events."""

    def __call__(self, name: str, **data: object) -> None:
        """Report that `name` happened."""


def silent(name: str, **data: object) -> None:
    """Report nothing."""


class StateStore:
    """A store in a folder that it owns until `close`. Thread-safe.

    Raises `CannotOpen`, or its subclass `Unrecoverable`, and then has changed nothing, and `FolderInUse` where another
    process owns the folder. Opening recovers; it writes the current generation anew, so a store that opened can write.

    `attention` is set when `care` has something to do.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings | None = None,
        emit: Emit = silent,
        journal: Callable[[Path, int, bytes], Journal] = Journal,
    ) -> None:
        self.attention = threading.Event()
        self._settings = settings or Settings()
        self._emit = emit
        self._journal_at = journal
        self._vault = Vault(folder)
        self._care = threading.Lock()
        self._checkpoint_due = self._snapshot_due = 0  # counted in the ledger's writes
        try:
            create_folder(folder)
            self._lock = FolderLock(folder)
        except OSError as error:
            raise CannotOpen(f"{folder} cannot be used as a folder to write in: {error}") from error
        try:
            self._open()
        except BaseException:
            self._lock.release()
            raise

    def _open(self) -> None:
        began = time.monotonic()
        try:
            files = self._vault.read()
        except OSError as error:
            raise CannotOpen(f"the store's files cannot be read: {error}") from error
        if files.keys() <= {layout.snapshot(0)}:  # no header yet: its creation never ended, nothing was acknowledged
            recovered = recovery.create(uuid.uuid4().hex[:12])
        else:
            recovered = self._recover(files)
        damage = {finding.file: finding.what for finding in recovered.findings if finding.kind == "damage"}
        journal = self._restore(files, recovered, damage | self._vault.unreadable)
        self._ledger = Ledger(recovered, journal)
        self._restored(recovered, began)

    def _recover(self, files: Mapping[str, bytes]) -> Recovery:
        try:
            return recovery.recover(files)
        except Unrecoverable as error:
            if not self._vault.unreadable:
                raise
            names = ", ".join(sorted(self._vault.unreadable))
            why = f"{error.why}; the disk cannot read {names}"
            raise Unrecoverable(why, error.file, error.offset, error.record) from error

    def read(self, key: str) -> tuple[object, int]:
        """Return the value and the version of `key`; None and 0 if it was never written."""
        version, value = self.read_encoded(key)
        return msgspec.json.decode(value), version

    def read_encoded(self, key: str) -> Entry:
        """Return the version of `key` and the JSON of its value."""
        return self._ledger.read(key)

    def write(self, key: str, value: object, expected_version: int | None = None) -> int:
        """Return the new version, which is the old one plus 1, once the write survives kills and power cuts.

        Raises `VersionConflict` if the key has another version than expected, `BadRequest` for what JSON cannot hold,
        `NotWritten` (disk full), `OutcomeUnknown` (the disk failed), `ReadOnly` (it failed before).
        """
        try:
            return self._ledger.write(key, value, expected_version)
        finally:
            self._draw_attention()

    @property
    def failed(self) -> bool:
        """Whether the journal failed, so that only opening anew makes the store writable again."""
        return self._ledger.journal.failed

    def care(self) -> None:
        """Take a snapshot or write `state.json` if enough was written since the last."""
        if self._ledger.puts >= self._snapshot_due:
            self.rotate()
        elif self._ledger.puts >= self._checkpoint_due:
            self.checkpoint()

    def checkpoint(self) -> None:
        """Write `state.json`. The outgoing file is verified first, so that no damage is overwritten unnoticed."""
        with self._care:
            self._renew_state()

    def rotate(self) -> None:
        """Take a snapshot, begin a new generation of the journal, write `state.json`, remove what is superfluous."""
        with self._care:
            began = self._ledger.puts
            entries, head = self._ledger.freeze()
            self._emit("snapshot.begin", seq=head.seq)
            self._put(layout.snapshot(head.seq), documents.encode(self._ledger.store, head, entries), "snapshot")
            self._begin_generation(Header(FORMAT, head.seq, head.chain))
            self._snapshot_due = began + self._settings.snapshot_every
            self._renew_state()
            failpoint("rotate.before_prune")
            self._prune()
            self._emit("snapshot.end", seq=head.seq)

    def scrub(self) -> list[str]:
        """Verify every file against what was written to it; return the names of those that had to be repaired.

        Writers wait while something other than `state.json` is repaired, and only then. A store whose journal failed
        is left as it is.
        """
        with self._care:
            with self._ledger.turn:
                seal = self._ledger.journal.seal()
                growing = dict.fromkeys(self._current(), seal)
                damaged = {name for name in growing if self._vault.size(name) != seal.length}
            damaged |= set(self._validator.damaged(growing))
            if self.failed:
                return sorted(damaged)
            if damaged == {layout.STATE}:
                self._heal_state()
            elif damaged:
                self._heal(damaged)
            return sorted(damaged)

    def close(self) -> None:
        """Write a last checkpoint and give the folder up."""
        try:
            if not self.failed and self._ledger.puts > self._checkpoint_due - self._settings.checkpoint_every:
                self.checkpoint()
        finally:
            self._ledger.journal.close()
            self._lock.release()

    def _draw_attention(self) -> None:
        puts = self._ledger.puts
        if puts >= self._checkpoint_due or puts >= self._snapshot_due or self._ledger.journal.failed:
            self.attention.set()

    def _current(self) -> tuple[str, str]:
        generation = self._ledger.journal.generation
        return layout.journal(generation), layout.mirror(generation)

    def _put(self, name: str, data: bytes, step: str) -> None:
        replace(self._vault.folder / name, data, step)
        self._validator.seals[name] = Seal.of(data)

    def _renew_state(self) -> None:
        if self._validator.is_intact(layout.STATE):
            self._checkpoint()
        else:
            self._heal_state()

    def _checkpoint(self) -> None:
        began = self._ledger.puts
        entries, head = self._ledger.freeze()
        self._put(layout.STATE, documents.encode(self._ledger.store, head, entries), "checkpoint")
        self._checkpoint_due = began + self._settings.checkpoint_every
        self._ledger.mark(head.seq)

    def _begin_generation(self, header: Header) -> None:
        with self._ledger.turn:
            old = self._ledger.journal
            names = layout.journal(old.generation + 1), layout.mirror(old.generation + 1)
            frame, head = self._ledger.record(header, self._ledger.head, old.generation + 1)
            try:
                old.finish()
                for name in names:
                    replace(self._vault.folder / name, frame, "rotate")
                journal = self._journal_at(self._vault.folder, old.generation + 1, frame)
            except OSError:
                old.failed = True  # until the new files are gone: two generations must not continue the same record
                self._vault.drop(names)
                old.failed = False
                raise
            failpoint("rotate.before_switch")
            self._validator.seals |= dict.fromkeys(self._current(), old.seal())
            self._ledger.switch(journal, head)
            old.close()

    def _prune(self) -> None:
        """Keep two snapshots, and the generations from the one that the older snapshot was taken in."""
        seals = self._validator.seals
        spare = sorted(filter(layout.is_snapshot, seals))[:-SNAPSHOTS_KEPT]
        oldest = self._ledger.journal.generation - SNAPSHOTS_KEPT
        spare += [name for name in seals if (layout.generation_of(name) or oldest) < oldest]
        for name in spare:
            del seals[name]
        self._vault.drop(spare)

    def _heal_state(self) -> None:
        """Write `state.json` from memory: nothing else is damaged, so nobody has to wait."""
        began = time.monotonic()
        have = self._vault.read_one(layout.STATE)
        what = self._vault.unreadable.get(layout.STATE) or describe(layout.STATE, have, None)
        self._emit("damage.detected", handle=layout.STATE, file=layout.STATE, what=what)
        self._emit("restore.begin", damaged=1)
        if have is not None:
            self._vault.keep_aside(layout.STATE, have)
        self._checkpoint()
        self._report_restored(recovery.MEMORY, began)

    def _heal(self, damaged: Collection[str]) -> None:
        began = time.monotonic()
        with self._ledger.turn:
            old = self._ledger.journal
            old.failed = True  # until the new files are in place: an append to the replaced ones would be lost
            files = self._vault.read()
            recovered = self._recover_alive(files, damaged)
            damage = {name: describe(name, files.get(name), recovered.files.get(name)) for name in sorted(damaged)}
            self._ledger.switch(self._restore(files, recovered, damage | self._vault.unreadable), recovered.head)
            old.close()
        self._restored(recovered, began)

    def _recover_alive(self, files: Mapping[str, bytes], damaged: Collection[str]) -> Recovery:
        """Rebuild from the other copies; where they do not lead to the state in memory, make new files from that."""
        ledger = self._ledger
        old_copies = {
            name for name in damaged if layout.generation_of(name) is None and documents.decode(files.get(name, b""))
        }
        try:
            recovered = recovery.recover({name: data for name, data in files.items() if name not in old_copies})
        except CannotOpen:
            pass
        else:
            if recovered.reached == ledger.head:
                return recovered
        return recovery.anew(ledger.store, ledger.journal.generation + 1, ledger.head, ledger.entries, files)

    def _restore(self, files: Mapping[str, bytes], recovered: Recovery, damage: Mapping[str, str]) -> Journal:
        """Report the damage, repair the folder, and return the journal to go on in.

        The current generation is always written anew: after a failed sync of an earlier process it might be whole in
        the page cache and not on the disk.
        """
        for name, what in damage.items():
            self._emit("damage.detected", handle=layout.handle_of(name), file=name, what=what)
        if recovered.source != recovery.NOTHING:
            self._emit("restore.begin", damaged=len(damage))
        for name in damage.keys() & files.keys() & set(recovered.surplus):
            self._vault.keep_aside(name, files[name])
        current = {layout.journal(recovered.generation), layout.mirror(recovered.generation)}
        self._vault.restore(files, recovered.files, current)
        failpoint("restore.before_drop")
        self._vault.drop(recovered.surplus)
        finished = {name: data for name, data in recovered.files.items() if name not in current}
        self._validator = StateValidator(self._vault.folder, finished)
        content = recovered.files[layout.journal(recovered.generation)]
        return self._journal_at(self._vault.folder, recovered.generation, content)

    def _restored(self, recovered: Recovery, began: float) -> None:
        if recovered.plan.checkpoint > recovered.plan.marked:
            self._ledger.mark(recovered.plan.checkpoint)
        newest = max(layout.seq_of(name) for name in recovered.files if layout.is_snapshot(name))
        # Counted in records, which are a few more than the writes: snapshots come early rather than late.
        self._snapshot_due = self._ledger.puts - (recovered.head.seq - newest) + self._settings.snapshot_every
        self._checkpoint_due = self._ledger.puts + self._settings.checkpoint_every
        if recovered.source != recovery.NOTHING:
            self._report_restored(recovered.source, began)
        self._draw_attention()

    def _report_restored(self, source: str, began: float) -> None:
        duration_ms = round((time.monotonic() - began) * 1000, 3)
        self._emit("restore.end", duration_ms=duration_ms, seq=self._ledger.head.seq, source=source)
