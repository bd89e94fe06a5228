"""The official client does not notice that the server is killed, again and again, on either front and in either era."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
from mcp import Client, StdioServerParameters

from support.mcp_kit import FOREIGN, TIMEOUT_S, supervise, wait_for_event
from support.state_kit import ROOT

KILLS = 50
# Ours for these tests: on the official SDK, gated, with a call that takes longer than a life.
OFFICIAL = """
import os, anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.types import ToolAnnotations
from targets.mcp_tools.standby import wait_for_turn
server = MCPServer("official")
@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def pid() -> int: return os.getpid()
@server.tool(annotations=ToolAnnotations(idempotent_hint=True))
async def steps(count: int, ctx: Context) -> int:
    for step in range(count):
        with anyio.move_on_after(0.05): await anyio.sleep_forever()
        await ctx.report_progress(step + 1, count)
    return os.getpid()
wait_for_turn()
server.run("stdio")
"""
SERVERS = {
    "official": ([sys.executable, "-c", OFFICIAL], "gated"),
    "foreign": ([sys.executable, "-c", FOREIGN], "started"),
}

pytestmark = [pytest.mark.chaos, pytest.mark.filterwarnings("default")]


@asynccontextmanager
async def connected(folder: Path, front: str, era: str, server: str) -> AsyncIterator[Client]:
    """Yield a client of a supervised server."""
    command, standby = SERVERS[server]
    arguments = ["--standby", standby, "--backoff", "0.01", "--backoff-cap", "0.02"]
    if front == "stdio":
        program = ["-m", "targets.mcp_tools", "supervise", "--state-dir", str(folder), *arguments, "--", *command]
        parameters = StdioServerParameters(
            command=sys.executable, args=program, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}
        )
        async with Client(parameters, mode=era) as client:
            yield client
        return
    supervised = supervise(
        folder, "--http", "0", *arguments, command=command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = await anyio.to_thread.run_sync(lambda: wait_for_event(folder, "http.listening")["url"])
        async with Client(url, mode=era) as client:
            yield client
    finally:
        supervised.terminate()
        supervised.wait(TIMEOUT_S)


async def pid_of(client: Client) -> int:
    result = await client.call_tool("pid", {})
    assert not result.is_error
    return int(result.content[0].text)


@pytest.mark.parametrize("server", ["foreign", "official"])
@pytest.mark.parametrize("era", ["legacy", "auto"])
@pytest.mark.parametrize("front", ["stdio", "http"])
def test_kill_after_kill_goes_unnoticed(tmp_path: Path, front: str, era: str, server: str) -> None:
    async def scenario() -> None:
        async with connected(tmp_path / "supervisor", front, era, server) as client:
            pids = [await pid_of(client)]
            for _ in range(KILLS if server == "foreign" else 10):
                os.kill(pids[-1], signal.SIGKILL)
                pids.append(await pid_of(client))
                assert pids[-1] != pids[-2]

    anyio.run(scenario)


@pytest.mark.parametrize("front", ["stdio", "http"])
@pytest.mark.parametrize("era", ["legacy", "auto"])
def test_a_call_in_flight_is_answered_and_its_progress_only_grows(tmp_path: Path, front: str, era: str) -> None:
    async def scenario() -> None:
        async with connected(tmp_path / "supervisor", front, era, "official") as client:
            heard: list[float] = []
            half = anyio.Event()

            async def listen(progress: float, _total: float | None, _message: str | None) -> None:
                heard.append(progress)
                if progress == 5:
                    half.set()

            first = await pid_of(client)
            async with anyio.create_task_group() as tasks:

                async def killer() -> None:
                    await half.wait()
                    os.kill(first, signal.SIGKILL)

                tasks.start_soon(killer)
                result = await client.call_tool("steps", {"count": 10}, progress_callback=listen)
            assert result.content[0].text != str(first)
            assert heard == [float(step) for step in range(1, 11)]

    anyio.run(scenario)
