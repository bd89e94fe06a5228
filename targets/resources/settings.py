"""What can be chosen about the service, as the options of a scenario and as arguments of a command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from targets.resources import actions
from targets.resources.errors import BadLimits, BadRequest
from targets.resources.levels import Level, Thresholds
from targets.resources.limits import ContainerLimits
from targets.resources.shutdown import Deadlines
from targets.resources.units import duration

_PERCENT = 100.0


def _share(value: object) -> float:
    text = value.removesuffix("%").strip() if isinstance(value, str) else value
    try:
        share = float(text) / _PERCENT if isinstance(text, int | float | str) and not isinstance(text, bool) else -1.0
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError("expected per cent from 0 to 100, such as 70")
    return share


def _flag(value: object) -> bool:
    if value not in {True, False, "true", "false"}:
        raise ValueError("expected true or false")
    return value in {True, "true"}


def _names(value: object) -> str:
    return ",".join(actions.names(str(value)))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`warning`, `critical`, `emergency`, `hysteresis` and `fence` are shares of a limit, written in per cent.

    `fence: 0` takes the fence away. `on_warning`, `on_critical` and `on_emergency` name the actions on memory. The
    limits are those of a cgroup of its own (`cgroup: own`) or of a container (`container: true`).
    """

    warning: float = 0.70
    critical: float = 0.85
    emergency: float = 0.95
    hysteresis: float = 0.05
    calm_s: float = 1.0
    horizon_s: float = 0.5
    fence: float = 0.90
    drain_s: float = 2.0
    deadline_s: float = 4.0
    heartbeat_s: float = 1.0
    on_warning: str = "notify,checkpoint,shed_load"
    on_critical: str = "shut_down,notify"
    on_emergency: str = "shut_down,notify"

    READ: ClassVar[Mapping[str, Callable[[object], object]]] = {
        **dict.fromkeys(("warning", "critical", "emergency", "hysteresis", "fence"), _share),
        **dict.fromkeys(("calm_s", "horizon_s", "drain_s", "deadline_s", "heartbeat_s"), duration),
        **dict.fromkeys(("on_warning", "on_critical", "on_emergency"), _names),
    }

    def __post_init__(self) -> None:
        self.thresholds()
        if not self.drain_s < self.deadline_s:
            raise BadRequest(f"drain_s must be less than deadline_s, got {self.drain_s:g} and {self.deadline_s:g}")

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Settings:
        """Return the settings that `options` describe. Raises `BadRequest`, naming all that is unknown or wrong."""
        found, wrong = dict[str, Any](), []
        for name, value in options.items():
            try:
                found[name] = cls.READ[name](value)
            except KeyError:
                wrong.append(f"unknown option {name}; known are {', '.join(cls.READ)}")
            except (ValueError, BadRequest) as error:
                wrong.append(f"option {name}: {error}, got {value!r}")
        if wrong:
            raise BadRequest("\n".join(wrong))
        return cls(**found)

    def arguments(self) -> list[str]:
        """Return the command line arguments of the service that stand for these settings."""
        parts = []
        for each in fields(self):
            value = getattr(self, each.name)
            text = f"{value * _PERCENT:g}" if self.READ[each.name] is _share else str(value)
            parts += [f"--{each.name.replace('_', '-')}", text]
        return parts

    def thresholds(self) -> Thresholds:
        """Return when levels begin and end. Raises `BadRequest` where they do not rise."""
        return Thresholds(
            warning=self.warning,
            critical=self.critical,
            emergency=self.emergency,
            hysteresis=self.hysteresis,
            calm_s=self.calm_s,
            horizon_s=self.horizon_s,
        )

    def deadlines(self) -> Deadlines:
        """Return how long an orderly end may take."""
        return Deadlines(drain_s=self.drain_s, deadline_s=self.deadline_s)

    def plan(self) -> actions.Table:
        """Return what is done at which level."""
        chosen = {
            Level.WARNING: actions.names(self.on_warning),
            Level.CRITICAL: actions.names(self.on_critical),
            Level.EMERGENCY: actions.names(self.on_emergency),
        }
        return {**actions.PLAN, "memory": chosen}


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything that `start` takes: settings of the service, its limits, and what it is put into."""

    settings: Settings = field(default_factory=Settings)
    limits: ContainerLimits = field(default_factory=ContainerLimits)
    cgroup: str = "none"
    container: bool = False

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Options:
        """Read the options of a scenario. Raises `BadRequest` that has every mistake."""
        rest, wrong = dict(options), []
        limits, settings, container = ContainerLimits(), Settings(), False
        cgroup = rest.pop("cgroup", "none")
        if cgroup not in {"none", "own"}:
            wrong.append(f"option cgroup: expected own or none, got {cgroup!r}")
        try:
            container = _flag(rest.pop("container", False))
        except ValueError as error:
            wrong.append(f"option container: {error}")
        try:
            texts = rest.pop("limits", {})
            limits = ContainerLimits.parse(texts if isinstance(texts, Mapping) else {"limits": texts})
        except BadLimits as error:
            wrong.append(f"option limits: {error}")
        try:
            settings = Settings.of(rest)
        except BadRequest as error:
            wrong.append(str(error))
        if container and cgroup == "own":
            wrong.append("option cgroup: a container has a cgroup of its own already, leave one of both out")
        if wrong:
            raise BadRequest("\n".join(wrong))
        return cls(settings=settings, limits=limits, cgroup=str(cgroup), container=container)
