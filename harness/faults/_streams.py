"""What is measured of a TCP connection both ends of which are ours: no protocol has to be known for that."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.clock import NS_PER_S
from harness.wire import Json

_CONNECT_PATIENCE_S = 5.0
_CHUNK = 1 << 16
_LISTENING = "0A"  # state of proc_net_tcp(5)


@contextmanager
def listening() -> Iterator[socket.socket]:
    """Listen on a loopback port of the kernel's choice."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_CONNECT_PATIENCE_S)
        yield listener


@contextmanager
def connected(listener: socket.socket, address: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect to `address`, which leads to `listener`, and return both ends: the client's, the server's."""
    with socket.create_connection(split(address), _CONNECT_PATIENCE_S) as near, listener.accept()[0] as far:
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        yield near, far


def arrival(sender: socket.socket, receiver: socket.socket, patience_s: float) -> Json:
    """Send one byte and return what comes of it, {"got": "data" | "end" | "reset" | "nothing", "after_s"}."""
    began = time.monotonic_ns()
    sender.sendall(b"x")
    return _await(receiver, began, patience_s)


def ending(sender: socket.socket, receiver: socket.socket, patience_s: float) -> Json:
    """Send nothing any more, and return as `arrival` does when the other end has heard of it."""
    began = time.monotonic_ns()
    sender.shutdown(socket.SHUT_WR)
    return _await(receiver, began, patience_s)


def pour(sender: socket.socket, receiver: socket.socket, size: int, patience_s: float) -> Json:
    """Send `size` bytes at once and return {"bytes", "pieces", "after_s", "ended"} of what the other end has read.

    `pieces` counts its reads, `after_s` is the time until the last, and `ended` says whether the connection ended then.
    """
    began = last = time.monotonic_ns()
    rest, got, pieces, ended = memoryview(bytes(size)), 0, 0, False
    sender.setblocking(False)
    while got < size and not ended:
        left = patience_s - (time.monotonic_ns() - began) / NS_PER_S
        readable, writable, _ = select.select([receiver], [sender] if rest else [], [], max(0.0, left))
        if not readable and not writable:
            break
        if writable:
            rest = rest[_send(sender, rest) :]
        if readable:
            count = _receive(receiver)
            ended, got, last = not count, got + count, time.monotonic_ns()
            pieces += bool(count)
    return {"bytes": got, "pieces": pieces, "after_s": (last - began) / NS_PER_S, "ended": ended}


def opened(address: str) -> str:
    """Connect, and leave with a reset, so that nothing is left of it: return "accepted" or "refused"."""
    try:
        with socket.create_connection(split(address), _CONNECT_PATIENCE_S) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    except ConnectionRefusedError:
        return "refused"
    return "accepted"


def connections(address: str) -> int:
    """Count the connections to an IPv4 address of this machine.

    Those that were closed within the last minute (TIME_WAIT) count, too.
    """
    host, port = split(address)
    wanted = f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"
    rows = [line.split()[1:4] for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    ends = {local if remote == wanted else remote for local, remote, _ in rows if wanted in {local, remote}}
    listeners = {remote for local, remote, state in rows if local == wanted and state == _LISTENING}
    return len(ends - listeners)


def split(address: str) -> tuple[str, int]:
    """Take "host:port" apart."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def _await(receiver: socket.socket, began: int, patience_s: float) -> Json:
    receiver.settimeout(patience_s)
    try:
        got = "data" if receiver.recv(_CHUNK) else "end"
    except ConnectionResetError:
        got = "reset"
    except TimeoutError:
        got = "nothing"
    return {"got": got, "after_s": (time.monotonic_ns() - began) / NS_PER_S}


def _send(sender: socket.socket, data: memoryview) -> int:
    """Return how much was taken; a connection that was cut takes everything, to no effect."""
    try:
        return sender.send(data)
    except (BrokenPipeError, ConnectionResetError):
        return len(data)


def _receive(receiver: socket.socket) -> int:
    try:
        return len(receiver.recv(_CHUNK))
    except ConnectionResetError:
        return 0
