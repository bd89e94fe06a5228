"""The state in memory and the journal it is written to first."""

from __future__ import annotations

import msgspec

from targets.state import records
from targets.state.commits import GroupCommit, Write
from targets.state.errors import BadRequest, StateError, VersionConflict
from targets.state.journal import Journal
from targets.state.records import Entry, Header, Mark, Point, Put, Record
from targets.state.recovery import Recovery

_NEVER_WRITTEN: Entry = (0, msgspec.Raw(b"null"))
_encoder = msgspec.json.Encoder(order="sorted")


def encode_value(value: object) -> msgspec.Raw:
    """Return the canonical JSON of `value`. Raises `BadRequest` for what JSON cannot hold."""
    try:
        return msgspec.Raw(_encoder.encode(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise BadRequest(f"the value cannot be stored as JSON: {error}") from error


class Ledger:
    """Entries by key, and the chain of records that led to them. Thread-safe; nobody sees what is not durable yet.

    `puts` counts the writes since this object was made.
    """

    def __init__(self, recovery: Recovery, journal: Journal) -> None:
        self.store = recovery.store
        self.entries = recovery.entries
        self.puts = 0
        self._commits = GroupCommit(self._commit)
        self.turn = self._commits.turn
        self.switch(journal, recovery.head)

    def switch(self, journal: Journal, head: Point) -> None:
        """Go on in another journal, which ends with the record `head`. The caller has the turn."""
        self.journal = journal
        self.head = head

    def read(self, key: str) -> Entry:
        """Return the version and the encoded value of `key`; version 0 if it was never written."""
        return self.entries.get(key, _NEVER_WRITTEN)

    def write(self, key: str, value: object, expected: int | None) -> int:
        """Return the new version once it is durable. Raises a `StateError`."""
        try:
            key.encode()
        except UnicodeEncodeError as error:
            raise BadRequest(f"the key is no text: {error}") from error
        return self._commits.submit(Write(key, encode_value(value), expected))

    def freeze(self) -> tuple[dict[str, Entry], Point]:
        """Return a copy of the state and the point it belongs to."""
        with self.turn:
            return self.entries.copy(), self.head

    def mark(self, at: int) -> None:
        """Note that `state.json` is durable up to record `at`."""
        with self.turn:
            frame, head = self.record(Mark(at), self.head)
            self.journal.append(frame)
            self.head = head

    def record(self, op: Header | Put | Mark, after: Point, generation: int = 0) -> tuple[bytes, Point]:
        """Return the frame of the record that follows `after`, and the point it reaches."""
        return records.encode(
            Record(
                ack=self.head.seq,  # whatever was appended before is in the mirror
                gen=generation or self.journal.generation,
                op=op,
                prev=after.chain,
                seq=after.seq + 1,
                store=self.store,
            )
        )

    def _commit(self, batch: list[Write]) -> None:
        """Decide, write and apply. Each write sees the ones before it in the batch; nobody else does until the end."""
        head = self.head
        frames: list[bytes] = []
        changes: dict[str, Entry] = {}
        for write in batch:
            version, _ = changes.get(write.key) or self.read(write.key)
            if write.expected is not None and write.expected != version:
                write.error = VersionConflict(write.key, write.expected, version)
                continue
            write.version = version + 1
            changes[write.key] = (write.version, write.value)
            frame, head = self.record(Put(write.key, write.value, write.version), head)
            frames.append(frame)
        if frames:
            self._apply(b"".join(frames), changes, head)
            self.puts += len(frames)

    def _apply(self, data: bytes, changes: dict[str, Entry], head: Point) -> None:
        """Journal first. What ends in between, such as a lack of memory, may have left a record that nobody counts."""
        try:
            self.journal.append(data)
            self.entries.update(changes)
            self.head = head
        except StateError:
            raise
        except BaseException:
            self.journal.failed = True
            raise
