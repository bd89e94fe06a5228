"""Why a document does not take what an agent submitted. `details` are for machines."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from targets.locking.errors import BadRequest, Full, LockingError


class _Told(LockingError):
    """Gives an error its `details`; it survives pickling."""

    details: Any  # each base has narrowed it in its own way

    def __init__(self, message: str, details: Mapping[str, object]) -> None:
        super().__init__(message)
        self.details = dict(details)

    def __reduce__(self) -> tuple[type[Self], tuple[str, Mapping[str, object]]]:
        return type(self), (str(self), self.details)


class Rejected(_Told):
    """Others changed the same places since the base version; nothing of the submission was applied.

    `details` say what a caller needs to decide anew: "version" (current), "conflicts", "diff" since the base, "writers"
    (who else), "hint", "retryable".
    """

    certainly_not_done = True


class BaseTooOld(Rejected):
    """The log does not reach back to the base version, so that nobody can tell what the submission conflicts with."""


class DocumentFull(_Told, Full):
    """As many agents are attached as may; `details["agents"]` says who, and since which version each was quiet."""


class NotAttached(_Told):
    """Only attached agents submit. Nothing was applied; attach, which is idempotent, and submit again."""

    certainly_not_done = True


class BadSubmission(_Told, BadRequest):
    """It does not fit the document even as its writer saw it: a mistake, and no conflict. Nothing was applied."""
