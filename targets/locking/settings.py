"""What can be chosen about the system under test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, cast, get_args, get_type_hints

from targets.locking.errors import BadRequest


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`agents` is how many edit one document at once, `policy` what becomes of their conflicts.

    `persistence` is Redis's: `always` syncs each write before it is acknowledged, `everysec` may lose two seconds of
    them in a power cut, `none` loses everything with the process.
    """

    backend: Literal["sqlite", "redis"] = "sqlite"
    agents: int = 256
    policy: Literal["merge", "reject", "last_write_wins"] = "merge"
    persistence: Literal["always", "everysec", "none"] = "always"

    def __post_init__(self) -> None:
        for name, type_ in get_type_hints(type(self)).items():
            value, choices = getattr(self, name), get_args(type_)
            if choices and value not in choices:
                raise BadRequest(f"option {name} must be one of {', '.join(choices)}, got {value!r}")
        agents: object = self.agents
        if isinstance(agents, bool) or not isinstance(agents, int) or agents < 1:
            raise BadRequest(f"option agents must be a whole number from 1, got {agents!r}")

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Settings:
        """Return the settings that `options` describe. Raises `BadRequest`, naming what is unknown or impossible."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(options) - set(known)):
            raise BadRequest(f"unknown option {', '.join(unknown)}; known are {', '.join(known)}")
        return cls(**cast("dict[str, Any]", options))
