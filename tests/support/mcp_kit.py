"""What the tests of the MCP supervisor share: a tiny foreign server, and a client that speaks lines."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, Self

from harness.waiting import until
from support.state_kit import ROOT
from targets.mcp_tools.history import events
from targets.mcp_tools.status import describe

Json = dict[str, Any]
MODERN_META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
}
INITIALIZE = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
TIMEOUT_S = 30.0
# A server that somebody else wrote: one thread, one loop over lines, the handshake or none. It knows nothing of us.
FOREIGN = """
import json, os, select, signal, subprocess, sys
def say(**message): sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\\n"); sys.stdout.flush()
def text(what): return {"content": [{"type": "text", "text": str(what)}]}
def tool(name, **hints): return {"name": name, "inputSchema": {"type": "object"}, "annotations": hints}
TOOLS = [tool(n, readOnlyHint=True) for n in ("pid", "die_once", "wait", "steps", "spin", "big")]
TOOLS += [tool("die"), tool("append"), tool("poison", idempotentHint=True)]
def call(id, name, args, meta):
    if name == "die": os.kill(os.getpid(), signal.SIGSEGV)
    if name == "poison": os._exit(3)
    if name == "die_once" and not os.path.exists(args["file"]): open(args["file"], "w").close(); os._exit(3)
    if name == "append": open(args["file"], "a").write("x")
    if name == "append" and args.get("die"): os.kill(os.getpid(), signal.SIGKILL)
    if name == "wait": open(args["started"], "a").write("%d\\n" % os.getpid()); select.select([], [], [])
    if name == "spin":
        while True: pass
    if name == "fork": subprocess.Popen(["sleep", "1000"], start_new_session=True); return text("forked")
    if name == "flood": sys.stderr.write("y" * args["bytes"]); sys.stderr.flush()
    if name == "nap": select.select([], [], [], args["seconds"])
    if name == "announce":
        say(method="notifications/resources/updated", params={"uri": args["uri"]})
        say(method="notifications/tools/list_changed")
    if name == "garbage": sys.stdout.write("this is no JSON\\n\\n[]\\n7\\n"); sys.stdout.flush()
    if name == "half": sys.stdout.write('{"jsonrpc": "2.0", "id": 1'); sys.stdout.flush(); os.kill(os.getpid(), 9)
    if name == "big": return text("z" * args["bytes"])
    if name == "steps":
        for step in range(1, args["count"] + 1):
            say(method="notifications/progress", params={"progressToken": meta["progressToken"], "progress": step})
            if step == args.get("die_at") and not os.path.exists(args["file"]):
                open(args["file"], "w").close(); os.kill(os.getpid(), signal.SIGKILL)
    return text({"pid": os.getpid(), "meta": meta, "level": level} if name == "meta" else os.getpid())
greeted, level = False, None
CACHE = {"resultType": "complete", "ttlMs": 0, "cacheScope": "private"}
for line in sys.stdin:
    message = json.loads(line); method, params, id = message.get("method"), message.get("params", {}), message.get("id")
    if method == "initialize":
        say(id=id, result={"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}},
                           "serverInfo": {"name": "foreign", "version": "1"}})
    elif method == "notifications/initialized": greeted = True
    elif method == "server/discover" and "--handshake" not in sys.argv:
        say(id=id, result={"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, **CACHE,
                           "serverInfo": {"name": "foreign", "version": "1"}})
    elif id is None: pass
    elif "--handshake" in sys.argv and not greeted:
        say(id=id, error={"code": -32600, "message": "not initialized"})
    elif method == "logging/setLevel": level = params["level"]; say(id=id, result={})
    elif method == "tools/list": say(id=id, result={"tools": TOOLS, **CACHE})
    elif method == "tools/call":
        result = call(id, params["name"], params.get("arguments", {}), params.get("_meta", {}))
        say(id=id, result={**result, "resultType": "complete"})
    else: say(id=id, error={"code": -32601, "message": "unknown"})
"""
# The same with an event loop of its own, which beats.
_LINES = """
from targets.mcp_tools.standby import Heartbeat
heart = Heartbeat()
def lines():
    rest = b""
    while True:
        heart.beat()
        if not select.select([0], [], [], 0.05)[0]: continue
        chunk = os.read(0, 65536)
        if not chunk: return
        *whole, rest = (rest + chunk).split(b"\\n")
        yield from whole
"""
BEATING = [
    sys.executable,
    "-c",
    FOREIGN.replace("greeted, level", f"{_LINES}\ngreeted, level").replace("sys.stdin:", "lines():"),
]
HANDSHAKE = [sys.executable, "-c", FOREIGN, "--handshake"]
STATELESS = [sys.executable, "-c", FOREIGN]


def supervise(folder: Path, *arguments: str, command: list[str], **pipes: int | IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a supervisor whose state is in `folder`."""
    program = [sys.executable, "-m", "targets.mcp_tools", "supervise", "--state-dir", str(folder), *arguments]
    return subprocess.Popen([*program, "--", *command], cwd=ROOT, **pipes)


class Client:
    """Speaks lines with a supervisor; every wait has a deadline."""

    def __init__(self, folder: Path, *arguments: str, command: list[str] | None = None) -> None:
        self.folder = folder
        self.errors = folder.with_suffix(".stderr")
        self._number = 0
        self._lines = b""
        with self.errors.open("wb") as errors:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors, "bufsize": 0}
            self.process = supervise(folder, *arguments, command=command or STATELESS, **pipes)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(TIMEOUT_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()

    def send(self, **message: object) -> None:
        self.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")

    def write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(self.process.stdin.fileno(), rest) :]

    def greet(self) -> Json:
        """Shake hands, as clients of the older revisions do."""
        answer = self.ask("initialize", INITIALIZE)
        self.send(method="notifications/initialized")
        return answer

    def begin(self, method: str, params: Json | None = None) -> int:
        """Send a request and return its id."""
        self._number += 1
        self.send(id=self._number, method=method, params=params or {})
        return self._number

    def ask(self, method: str, params: Json | None = None) -> Json:
        """Return the answer to a request; what comes before it is dropped."""
        return self.answer(self.begin(method, params))[0]

    def answer(self, id_: int) -> tuple[Json, list[Json]]:
        """Return the answer to a request that was begun, and what came before it."""
        before = []
        while (message := self.read()).get("id") != id_ or "method" in message:
            before.append(message)
        return message, before

    def begin_tool(self, name: str, meta: Json | None = None, **arguments: object) -> int:
        return self.begin(
            "tools/call", {"name": name, "arguments": arguments, "_meta": {**MODERN_META, **(meta or {})}}
        )

    def tool(self, name: str, **arguments: object) -> Json:
        """Call a tool; return its answer."""
        return self.answer(self.begin_tool(name, **arguments))[0]

    def text(self, name: str, **arguments: object) -> str:
        """Call a tool; return its text."""
        answer = self.tool(name, **arguments)
        return str(answer["result"]["content"][0]["text"])

    def read(self) -> Json:
        """Return the next message."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + TIMEOUT_S
        while b"\n" not in self._lines:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"nothing came within {TIMEOUT_S} s; {self.status()}"
            chunk = os.read(self.process.stdout.fileno(), 1 << 20)
            assert chunk, f"the supervisor hung up; {self.errors.read_text()}"
            self._lines += chunk
        line, _, self._lines = self._lines.partition(b"\n")
        message: Json = json.loads(line)
        return message

    def status(self) -> Json:
        """Return what `status` says."""
        return describe(self.folder)

    def event(self, name: str, count: int = 1) -> Json:
        """Wait for the `count`-th event of this name."""
        return wait_for_event(self.folder, name, count)


def wait_for_event(folder: Path, name: str, count: int = 1) -> Json:
    """Wait for the `count`-th event of this name in a supervisor's history; return its data."""

    def found() -> list[Any]:
        return [event["data"] for event in events(folder) if event["event"] == name]

    until(lambda: len(found()) >= count, f"{count} times {name}", TIMEOUT_S)
    data: Json = found()[count - 1]
    return data
