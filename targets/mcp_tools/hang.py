"""Whether a living server also works: *stopped*, *blocked* and *busy* told apart. Pure: looks in, findings out.

- Stopped: the kernel says so (state T), in every look over `stopped_s`. A traced process (t) is somebody's debugging.
- Blocked: it promised heartbeats and missed them for `heartbeat_s`; or, without such a promise, it left two questions
  in a row unanswered that servers like it have answered before *while they worked*, and used no processor meanwhile.
- Busy: it uses the processor, or it has never shown that it can answer while it works (a tool that runs in the only
  thread is no hang). That is not held against it until `busy_s`.

A server is asked only while a client waits for it and nothing has come from it for `quiet_s`. One unanswered question
is never a verdict. After a pause of our own, looking begins anew.
"""

from __future__ import annotations

from dataclasses import dataclass

_BUSY_SHARE = 0.05
_OWN_PAUSE_S = 2.0


@dataclass(frozen=True, kw_only=True)
class Patience:
    """How long to wait before each conclusion, in seconds. `busy_s` of 0 means for ever."""

    stopped_s: float = 0.5
    heartbeat_s: float = 2.0
    quiet_s: float = 5.0
    confirm_s: float = 5.0
    busy_s: float = 600.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """What can be seen of a server at `at` (seconds, monotonic).

    `heard` is when its last output came, `beat` when its last heartbeat did (None: it never sent one), `working`
    whether a client waits for it, `unanswered` how many of our questions it owes an answer.
    """

    at: float
    state: str
    cpu_s: float
    heard: float
    beat: float | None
    working: bool
    unanswered: int


@dataclass(frozen=True)
class Finding:
    """`kind` is healthy, probe (ask it now), busy, blocked or stopped; the last two are to be killed."""

    kind: str
    why: str = ""

    @property
    def deadly(self) -> bool:
        """Whether the server has to be replaced."""
        return self.kind in {"blocked", "stopped"}


HEALTHY = Finding("healthy")


class Watch:
    """Looks at one server, several times a second."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._last: Look | None = None
        self._stopped_since: float | None = None
        self._asked_at = 0.0
        self._asked_cpu_s = 0.0
        self._answers_while_working = False

    def look(self, look: Look) -> Finding:
        """Return what to make of it."""
        last, self._last = self._last, look
        if last is None or look.at - last.at > _OWN_PAUSE_S:
            self._stopped_since = None
            self._asked_at = look.at
            return HEALTHY
        if last.unanswered and not look.unanswered and look.working:
            self._answers_while_working = True
        return self._stopped(look) or self._beating(look) or self._questioned(look)

    def _stopped(self, look: Look) -> Finding | None:
        if look.state != "T":
            self._stopped_since = None
            return None
        if self._stopped_since is None:
            self._stopped_since = look.at
        for_s = look.at - self._stopped_since
        return Finding("stopped", f"stopped for {for_s:.1f} s") if for_s >= self._patience.stopped_s else HEALTHY

    def _beating(self, look: Look) -> Finding | None:
        if look.beat is None:
            return None
        late_s = look.at - look.beat
        if late_s < self._patience.heartbeat_s:
            return HEALTHY
        return Finding("blocked", f"its event loop has not turned for {late_s:.1f} s")

    def _questioned(self, look: Look) -> Finding:
        silent_s = look.at - look.heard
        if not look.working or silent_s < self._patience.quiet_s:
            return HEALTHY
        if look.unanswered < 2 and (not look.unanswered or look.at - self._asked_at >= self._patience.confirm_s):  # noqa: PLR2004
            if not look.unanswered:
                self._asked_cpu_s = look.cpu_s
            self._asked_at = look.at
            return Finding("probe")
        if look.at - self._asked_at < self._patience.confirm_s:
            return HEALTHY
        return self._unresponsive(look, silent_s)

    def _unresponsive(self, look: Look, silent_s: float) -> Finding:
        window_s = 2 * self._patience.confirm_s
        used_s = look.cpu_s - self._asked_cpu_s
        told = f"silent for {silent_s:.1f} s, two questions unanswered"
        if self._patience.busy_s and silent_s >= self._patience.busy_s:
            return Finding("blocked", f"{told}, longer than a call may take")
        if used_s < _BUSY_SHARE * window_s and self._answers_while_working:
            return Finding("blocked", f"{told}, no processor time used")
        return Finding("busy", f"{told}, {used_s:.1f} s of processor time used")
