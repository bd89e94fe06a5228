"""`serve FOLDER`: an MCP server on the official SDK whose tools resume. The beginning of one: multi-step jobs.

Everything slow is imported before `wait_for_turn`, so that a spare has it behind it. The event loop beats, so that the
supervisor can tell a blocked one.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import INVALID_PARAMS, ToolAnnotations

from targets.mcp_tools.messages import INTERRUPTED
from targets.mcp_tools.replay import CALL_META
from targets.mcp_tools.standby import Heartbeat, wait_for_turn
from targets.mcp_tools.work import Call, KeyConflict, OutcomeUnknown, Sink, Work

KEY_META = "bigfive/idempotencyKey"
RESUMABLE = {"bigfive/resumable": True}
BEAT_S = 0.1
SINK = "ledger.sqlite"


def identity_of(meta: Mapping[str, Any] | None) -> str:
    """Return under what a call is kept: the client's key, or what the supervisor calls it; empty without either."""
    known = dict(meta or {})
    key, call = known.get(KEY_META), known.get(CALL_META)
    return f"key:{key}" if isinstance(key, str) else f"call:{call}" if isinstance(call, str) else ""


@asynccontextmanager
async def beating(_: MCPServer[Any]) -> AsyncIterator[None]:
    """Tell the supervisor that the event loop turns, as long as it serves."""
    heart = Heartbeat()

    async def beat() -> None:
        while True:
            heart.beat()
            with anyio.move_on_after(BEAT_S):
                await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(beat)
        yield
        tasks.cancel_scope.cancel()


class Jobs:
    """Runs jobs step by step. A job that comes again while it runs is joined, not run twice."""

    def __init__(self, folder: Path) -> None:
        self._work = Work(folder)
        self._sink = Sink(folder / SINK)
        self._running: dict[str, anyio.Event] = {}

    async def run(self, lines: list[str], pause_s: float, ctx: Context) -> dict[str, Any]:
        """Append each of `lines` to the ledger, exactly once, with `pause_s` of work before each."""
        identity = identity_of(ctx.request_context.meta) or f"request:{self._work.owner}:{ctx.request_id}"
        while (running := self._running.get(identity)) is not None:
            await running.wait()
        self._running[identity] = anyio.Event()
        try:
            call = self._work.open(identity, "run_job", [lines, pause_s])
            if not call.finished:
                await self._steps(call, lines, pause_s, ctx)
        except KeyConflict as error:
            raise MCPError(INVALID_PARAMS, str(error)) from error
        except OutcomeUnknown as error:
            raise MCPError(INTERRUPTED, str(error), {"maybe_executed": True}) from error
        finally:
            self._running.pop(identity).set()
        return {**call.result, "resumed": call.resumed}

    async def _steps(self, call: Call, lines: list[str], pause_s: float, ctx: Context) -> None:
        numbers = []
        for count, line in enumerate(lines, 1):

            async def append(key: str, line: str = line) -> int:
                with anyio.move_on_after(pause_s):
                    await anyio.sleep_forever()
                return self._sink.append(key, line)

            numbers.append(await call.step_async(append, keyed=True))
            await ctx.report_progress(count, len(lines))
        call.finish({"lines": numbers})


def build(folder: Path) -> MCPServer[Any]:
    """Return the server whose state is in `folder`."""
    server: MCPServer[Any] = MCPServer("bigfive", lifespan=beating, log_level="WARNING")
    jobs = Jobs(folder)

    @server.tool(annotations=ToolAnnotations(idempotent_hint=True), meta=RESUMABLE)
    async def run_job(lines: list[str], ctx: Context, pause_s: float = 0.0) -> dict[str, Any]:
        """Append lines to the ledger, step by step; after a crash it goes on behind the last step that is done."""
        return await jobs.run(lines, pause_s, ctx)

    return server


def main(arguments: list[str]) -> int:
    """Serve the folder named first, over standard input and output."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m targets.mcp_tools serve FOLDER\n")
        return 64
    wait_for_turn()
    build(Path(arguments[0])).run("stdio")
    return 0
