"""Engines for tests: the real one where there is one, and stand-ins for those that fail."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import seeds

FORWARD = Path(__file__).with_name("forward.py")


def fresh_label() -> str:
    return f"bf-test-{seeds.fresh_root():08x}"


def ssh_stand_in(folder: Path) -> str:
    """Return a PATH on which `ssh` reaches this very machine, so that only the network and sshd are missing."""
    folder.mkdir()
    program = folder / "ssh"
    program.write_text(f"#!{sys.executable}\n{FORWARD.read_text()}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


@contextmanager
def server(answer: bytes | None, folder: Path) -> Iterator[str]:
    """Yield the address of an engine that answers everybody the same, or, with None, nobody at all."""
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(folder / "engine"))
        listening.listen()
        held = []

        def serve() -> None:
            with contextlib.suppress(OSError):  # closed at the end of the test
                while True:
                    connection = listening.accept()[0]
                    held.append(connection)
                    if answer is not None:
                        with contextlib.suppress(OSError):  # somebody only knocked
                            connection.recv(65536)
                            connection.sendall(answer)
                        connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"unix://{folder / 'engine'}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for connection in held:
            connection.close()


@contextmanager
def relay(path: str) -> Iterator[int]:
    """Yield a TCP port of this machine that leads to a Unix socket, for an engine on TCP."""
    command = [sys.executable, str(FORWARD), "tcp", path]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


def http(body: bytes, status: bytes = b"200 OK") -> bytes:
    """Return a whole answer of a server that closes behind it."""
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


def seen(label: str) -> list[str]:
    """Return what `docker` itself shows of a label: no code of ours is asked."""
    wanted = f"label=bigfive.label={label}"
    kinds = (["ps", "--all", "--format", "{{.Names}}"], ["network", "ls", "--format", "{{.Name}}"])
    listed = [subprocess.run(["docker", *kind, "--filter", wanted], capture_output=True, check=True) for kind in kinds]
    return sorted(name for each in listed for name in each.stdout.decode().split())
