"""What can go wrong with a store. `certainly_not_done` tells a writer that its write did not and will not happen."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


class StateError(Exception):
    """Base of everything that the store raises on purpose. `details` are for machines."""

    certainly_not_done = False
    details: Mapping[str, object] = MappingProxyType({})


class BadRequest(StateError):
    """A key, value or version that the store cannot take."""

    certainly_not_done = True


class VersionConflict(StateError):
    """The key has another version than the writer expected; `version` is the current one."""

    certainly_not_done = True

    def __init__(self, key: str, expected: int, version: int) -> None:
        super().__init__(f"{key!r} has version {version}, not {expected}")
        self.version = version
        self.details = {"error": "conflict", "version": version}


class NotWritten(StateError):
    """The disk refused a record (full, for one) and what was written of it is cut off again: try later."""

    certainly_not_done = True


class OutcomeUnknown(StateError):
    """The disk failed in the middle: whether the record survives will be known after the next recovery."""


class ReadOnly(StateError):
    """The journal failed before. Nothing is acknowledged on it again; opening the store anew recovers."""

    certainly_not_done = True


class CannotOpen(StateError):
    """The folder cannot be used; nothing in it was changed."""

    certainly_not_done = True


class UnknownFormat(CannotOpen):
    """The folder was written by a version of the store that this one does not know."""


class NotAStore(CannotOpen):
    """The folder is missing, or holds no file of a store."""


class InMotion(StateError):
    """The folder is being written to, so that no look at it shows all files as of one moment."""


class Unrecoverable(CannotOpen):
    """Something acknowledged is, or may be, lost. Nothing was changed: put one good copy back and open again.

    `file` names the damaged file, `offset` is the first bad byte in it, `record` the first sequence number affected.
    """

    def __init__(self, why: str, file: str, offset: int, record: int) -> None:
        super().__init__(f"{why} (file {file}, offset {offset}, record {record}); nothing was changed")
        self.why = why
        self.file = file
        self.offset = offset
        self.record = record
