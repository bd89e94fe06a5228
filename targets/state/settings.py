"""What can be chosen about a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, cast

from targets.state.errors import BadRequest


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`snapshot_every` and `checkpoint_every` count writes, `scrub_every_s` is in seconds.

    The scrub takes a tenth of one processor at most: with much state it comes less often than asked.
    """

    snapshot_every: int = 1000
    checkpoint_every: int = 100
    scrub_every_s: float = 0.5

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise BadRequest(f"option {field.name} must be a positive number, got {value!r}")

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Settings:
        """Return the settings that `options` describe. Raises `BadRequest`, naming what is unknown or impossible."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(options) - set(known)):
            raise BadRequest(f"unknown option {', '.join(unknown)}; known are {', '.join(known)}")
        return cls(**cast("dict[str, Any]", options))

    def arguments(self) -> list[str]:
        """Return the command line arguments of the service that stand for these settings."""
        return [part for f in fields(self) for part in (f"--{f.name.replace('_', '-')}", str(getattr(self, f.name)))]
