"""The supervisor beside a bare loop of pidfd and posix_spawn, a cold start, and a client without a supervisor."""

from __future__ import annotations

import http.client
import json
import os
import select
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from _measure import Row, interleaved, seconds

from harness.waiting import until
from targets.mcp_tools.history import events
from targets.mcp_tools.processes import vitals

ROOT = Path(__file__).parents[2]
KILLS = 15
RECOVERIES = 7
CALLS = 400
TIMEOUT_S = 60.0
META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}
HEADERS = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "pid",
}
SERVER = """
import os, sys
from mcp.server import MCPServer
from mcp.types import ToolAnnotations
from targets.mcp_tools.standby import wait_for_turn
server = MCPServer("bench", log_level="ERROR")
@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def pid() -> int: return os.getpid()
wait_for_turn()
server.run("stdio") if len(sys.argv) == 1 else server.run("streamable-http", port=int(sys.argv[1]))
"""
OFFICIAL = [sys.executable, "-c", SERVER]


def supervised(folder: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "targets.mcp_tools", "supervise", "--state-dir", str(folder), *options, "--"]


class Client:
    """Calls one tool over standard input and output."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
        )
        self._number = 0
        self.ask("tools/list", {})

    def pid(self) -> int:
        """Ask the server for its pid."""
        return int(self.ask("tools/call", {"name": "pid", "arguments": {}})["content"][0]["text"])

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Return the result of a request."""
        self._number += 1
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": {**params, "_meta": META}}
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        self.process.stdin.flush()
        result: dict[str, Any] = json.loads(self.process.stdout.readline())["result"]
        return result

    def close(self) -> None:
        self.process.communicate(timeout=TIMEOUT_S)


def data(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the events of a name, `at` among their data."""
    return [{**event["data"], "at": event["at"]} for event in events(folder) if event["event"] == name]  # type: ignore[dict-item]


def restarts(folder: Path) -> Row:
    """From `kill -9` to the replacement's exec, beside a loop that does nothing else."""
    path = folder / "restarts"
    keeper = subprocess.Popen(
        [*supervised(path, "--stable", "0.01"), "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )

    def ours() -> float:
        count = len(data(path, "server.died"))
        until(lambda: len(data(path, "server.ready")) == count + 1, "it is stable", TIMEOUT_S)
        ready = data(path, "server.ready")[-1]
        until(lambda: time.time() > ready["at"] + 0.02, "it served for a while", TIMEOUT_S)
        began = time.time()
        os.kill(ready["pid"], signal.SIGKILL)
        until(lambda: len(data(path, "server.started")) == count + 2, "the next is started", TIMEOUT_S)
        return float(data(path, "server.started")[-1]["at"] - began)

    mine, theirs, ratio = interleaved(ours, bare_restart, KILLS)
    keeper.communicate()
    return Row("kill to exec of the replacement", mine * 1000, "pidfd + posix_spawn", theirs * 1000, "ms", ratio, 5.0)


def bare_restart() -> float:
    """One turn of the smallest supervisor there is."""
    cat = shutil.which("cat") or "/bin/cat"
    read, write = os.pipe()

    def spawn() -> int:
        return os.posix_spawn(cat, ["cat"], {}, file_actions=[(os.POSIX_SPAWN_DUP2, read, 0)])

    pid = spawn()
    pidfd = os.pidfd_open(pid)
    began = time.perf_counter()
    os.kill(pid, signal.SIGKILL)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.poll()
    os.waitpid(pid, 0)
    replacement = spawn()
    took = time.perf_counter() - began
    os.kill(replacement, signal.SIGKILL)
    os.waitpid(replacement, 0)
    for descriptor in (pidfd, read, write):
        os.close(descriptor)
    return took


def imported(pid: int) -> Callable[[], bool]:
    """Return whether a spare has done its imports: it has used the processor, and uses it no more."""
    seen: list[tuple[float, float]] = []

    def idle() -> bool:
        found = vitals(pid)
        now = time.monotonic(), found.cpu_s if found else 0.0
        if not seen or seen[0][1] != now[1]:
            seen[:] = [now]
        return now[1] > 0.1 and now[0] - seen[0][0] > 0.3

    return idle


def recoveries(folder: Path) -> Iterator[Row]:
    """From `kill -9` to the first answer: with a spare, without one, and what an interpreter needs to import `mcp`."""
    cold = Client([*supervised(folder / "cold"), *OFFICIAL])
    warm = Client([*supervised(folder / "warm", "--standby", "gated"), *OFFICIAL])

    def recovery(client: Client, path: Path) -> float:
        pid = client.pid()
        if client is warm:
            started = len(data(path, "server.died")) + 1
            until(lambda: len(data(path, "spare.started")) == started, "there is a spare", TIMEOUT_S)
            until(imported(data(path, "spare.started")[-1]["pid"]), "it is warm", TIMEOUT_S)
        ready = data(path, "server.ready")[-1]["at"]
        until(lambda: time.time() > ready + 1.05, "it is stable", TIMEOUT_S)  # else the next start is a streak's
        os.kill(pid, signal.SIGKILL)
        return seconds(client.pid)

    def with_spare() -> float:
        return recovery(warm, folder / "warm")

    def without() -> float:
        return recovery(cold, folder / "cold")

    def floor() -> float:
        code = "from mcp.server import MCPServer"
        return seconds(lambda: subprocess.run([sys.executable, "-c", code], check=True))

    mine, theirs, ratio = interleaved(with_spare, without, RECOVERIES)
    yield Row("kill to first answer, warm", mine * 1000, "the same, cold", theirs * 1000, "ms", ratio, 0.15)
    mine, theirs, ratio = interleaved(without, floor, RECOVERIES)
    yield Row("kill to first answer, cold", mine * 1000, "python + import mcp", theirs * 1000, "ms", ratio, 1.3)
    warm.close()
    cold.close()


def latencies(call: Callable[[], object]) -> tuple[float, float]:
    """Return p50 and p99 of a call, in milliseconds."""
    samples = sorted(seconds(call) * 1000 for _ in range(CALLS))
    return samples[CALLS // 2], samples[CALLS * 99 // 100]


def overhead(front: str, direct: Callable[[], object], through: Callable[[], object], bound: float) -> Iterator[Row]:
    """One call after the other, supervised and not, in turns."""
    for call in (direct, through):
        latencies(call)
    pairs = [(latencies(through), latencies(direct)) for _ in range(5)]
    for index, name in enumerate(("p50", "p99")):
        ours, theirs = ([pair[side][index] for pair in pairs] for side in (0, 1))
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        medians = statistics.median(ours), statistics.median(theirs)
        yield Row(f"a supervised call over {front}, {name}", medians[0], "direct", medians[1], "ms", ratio, bound)


def over_stdio(folder: Path) -> Iterator[Row]:
    direct, through = Client(OFFICIAL), Client([*supervised(folder / "stdio"), *OFFICIAL])
    yield from overhead("stdio", direct.pid, through.pid, 1.5)
    direct.close()
    through.close()


def over_http(folder: Path) -> Iterator[Row]:
    port = 8000 + os.getpid() % 1000
    direct = subprocess.Popen([*OFFICIAL, str(port)], stderr=subprocess.DEVNULL, cwd=ROOT)
    path = folder / "http"
    through = subprocess.Popen(
        [*supervised(path, "--http", "0"), *OFFICIAL], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=ROOT
    )
    until(lambda: data(path, "http.listening"), "it listens", TIMEOUT_S)
    ours = int(data(path, "http.listening")[0]["url"].rpartition(":")[2].partition("/")[0])
    yield from overhead("HTTP", poster(port), poster(ours), 1.5)
    for process in (direct, through):
        process.terminate()
        process.wait(TIMEOUT_S)


def poster(port: int) -> Callable[[], object]:
    """Return what calls the tool over one connection, once the server is there."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    params = {"name": "pid", "arguments": {}, "_meta": META}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})

    listing = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": META}})

    def post() -> bytes:
        connection.request("POST", "/mcp", body, HEADERS)
        return connection.getresponse().read()

    def answers() -> bool:
        try:
            return b"result" in post()
        except OSError:
            connection.close()
            return False

    until(answers, "the server answers", TIMEOUT_S)
    connection.request("POST", "/mcp", listing, {**HEADERS, "mcp-method": "tools/list"})
    connection.getresponse().read()
    return post


def rows() -> Iterator[Row]:
    """Measure everything of this file."""
    folder = Path(tempfile.mkdtemp(prefix="bigfive-bench-"))
    try:
        yield restarts(folder)
        yield from recoveries(folder)
        yield from over_stdio(folder)
        yield from over_http(folder)
    finally:
        shutil.rmtree(folder)
