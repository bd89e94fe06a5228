"""`status [DIR…] [--json]`: what supervisors do and did, read from their folders without disturbing them."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from targets.durable import owner_of
from targets.mcp_tools import folder as folders
from targets.mcp_tools.history import RECOVERED, STATUS, events, histogram, quantile

_STAGES = ("exec_ms", "ready_ms", "answer_ms")
_RESTARTS = 10
_BAR = 40

Json = dict[str, Any]


def describe(path: Path) -> Json:
    """Return everything known of the supervisor whose folder is `path`. `running` is found out, not believed."""
    try:
        status: Json = msgspec.json.decode((path / STATUS).read_bytes())
    except (OSError, msgspec.DecodeError):
        status = {}
    owner = owner_of(path)
    happened: list[Json] = list(events(path))
    recoveries = [event["data"] for event in happened if event["event"] == RECOVERED]
    return {
        "folder": str(path),
        **status,
        "running": owner is not None,
        "pid": owner,
        "restarts": [event for event in happened if event["event"] == "server.died"],
        "quarantined": [event["data"] for event in happened if event["event"] == "call.quarantined"],
        "recovery": {
            how: {stage: _distribution([r[stage] for r in recoveries if r["how"] == how]) for stage in _STAGES}
            for how in sorted({r["how"] for r in recoveries})
        },
    }


def _distribution(samples: list[float]) -> Json:
    quantiles = {f"p{round(share * 100)}": quantile(samples, share) for share in (0.5, 0.95, 0.99)}
    return {"n": len(samples), **quantiles, "max": max(samples), "histogram": dict(histogram(samples))}


def render(found: Json) -> str:
    """Return the description as text."""
    state = f"running, pid {found['pid']}" if found["running"] else "not running"
    lines = [f"{found['folder']}: {state}", f"  command   {' '.join(found.get('command', ['?']))}"]
    for lane in found.get("lanes", []) if found["running"] else []:
        health = "breaker open" if lane["breaker"] == "open" else "ready" if lane["ready"] else "starting"
        spare = f", spare {lane['spare']}" if lane["spare"] else ""
        lines.append(f"  server    {lane['server'] or '-'} ({health}){spare}, {lane['unanswered']} calls unanswered")
    lines.append(f"  restarts  {len(found['restarts'])}")
    lines += [f"    {_restart(event)}" for event in found["restarts"][-_RESTARTS:]]
    lines += [f"  quarantined: {call['method']} {call['tool']}" for call in found["quarantined"]]
    for how, stages in found["recovery"].items():
        answer = stages["answer_ms"]
        told = ", ".join(f"{name} {answer[name]:.1f}" for name in ("p50", "p95", "p99", "max"))
        lines.append(f"  death to first answer, {how} ({answer['n']}): {told} ms")
        most = max(answer["histogram"].values())
        lines += [
            f"    {bucket:>10} {'#' * max(1, count * _BAR // most):<{_BAR}} {count}"
            for bucket, count in answer["histogram"].items()
        ]
    return "\n".join(lines) + "\n"


def _restart(event: Json) -> str:
    data = event["data"]
    at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(event["at"]))
    how = f"signal {data['signal']}" if "signal" in data else f"status {data['status']}"
    why = f", {data['why']}" if "why" in data else ""
    return f"{at}  pid {data['pid']}  {how}{why}  after {data['served_s']} s"


def known() -> list[Path]:
    """Return the folders of all supervisors that were not given one."""
    return sorted(path.parent for path in folders.base().glob("*/*/lock"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the status; return 0, or 1 where there is nothing to tell of."""
    parser = argparse.ArgumentParser(prog="python -m targets.mcp_tools status", description="Tell of supervisors.")
    parser.add_argument("folder", nargs="*", type=Path, metavar="DIR", help="state folder; default: all that are known")
    parser.add_argument("--json", action="store_true", help="for machines: one line for each folder")
    chosen = parser.parse_args(arguments)
    found = [describe(path) for path in chosen.folder or known() if (path / "lock").exists()]
    for each in found:
        sys.stdout.write(msgspec.json.encode(each).decode() + "\n" if chosen.json else render(each))
    if not found:
        sys.stderr.write("no supervisor has been here; name its --state-dir\n")
    return 0 if found else 1
