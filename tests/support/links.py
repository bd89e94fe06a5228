"""A link of a test's own: a server that sends back what it gets, a proxy before it, and somebody who is connected."""

from __future__ import annotations

import random
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.engine.links import Links
from harness.faults._base import Site
from harness.faults._streams import split


class Echo(socketserver.ThreadingTCPServer):
    """Sends back what it gets."""

    daemon_threads = True

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            try:
                while data := self.request.recv(1 << 16):
                    self.request.sendall(data)
            except OSError:
                return

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), self.Handler)

    @property
    def address(self) -> str:
        return ":".join(map(str, self.server_address))


@contextmanager
def echo() -> Iterator[Echo]:
    with Echo() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Linked:
    """The link: where to connect to, and what a fault gets."""

    def __init__(self, links: Links, server: Echo) -> None:
        self.links = links
        self.server = server
        self.address: str = links.arguments["links"]["link"]
        self.lead_to(server)

    def lead_to(self, server: Echo) -> None:
        """What the engine does when `describe` says where the target listens."""
        self.links.follow({"handles": {"link": {"type": "link", "address": server.address}}})

    @property
    def site(self) -> Site:
        handle = {"type": "link", "address": self.server.address}
        return Site(self.links.beside("link", handle), random.Random(1))

    def connect(self) -> socket.socket:
        return socket.create_connection(split(self.address), 5)


@contextmanager
def linked(folder: Path) -> Iterator[Linked]:
    with echo() as server, Links(["link"], f"bf-{folder.name}", folder / "toxiproxy.log") as links:
        yield Linked(links, server)
