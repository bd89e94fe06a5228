"""Adapters that get the protocol itself wrong, in the way named on the command line; started in the toy's folder."""

from __future__ import annotations

import os
import select
import sys
from typing import BinaryIO

from bad_adapters import Good

from harness.serve import Server
from harness.wire import Json, decode_request


class AnyProtocol(Server):
    """Accepts every version of the protocol."""

    def _hello(self, protocol: int, role: str) -> Json:
        return {**super()._hello(1, role), "protocol": protocol}


class Swapped(Server):
    """Answers what comes together in the wrong order."""

    def serve(self, requests: BinaryIO) -> None:
        while data := os.read(requests.fileno(), 1 << 16):
            while select.select([requests], [], [], 0.1)[0] and (more := os.read(requests.fileno(), 1 << 16)):
                data += more
            for line in reversed(data.splitlines()):
                self._send(self._answer(decode_request(line)))


class Abrupt(Server):
    """Exits at the end of its input, and lets what it has started run on."""

    def serve(self, requests: BinaryIO) -> None:
        for line in requests:
            self._send(self._answer(decode_request(line)))
        os._exit(0)


class Printing(Server):
    """Says something else on the protocol's stream."""

    def serve(self, requests: BinaryIO) -> None:
        self._out.write(b"listening on port 80\n")
        super().serve(requests)


class Crashing(Server):
    """Dies of the first request, with a reason on standard error."""

    def serve(self, requests: BinaryIO) -> None:
        requests.readline()
        sys.exit("no licence found")


if __name__ == "__main__":
    globals()[sys.argv[1]](Good, sys.stdout.buffer).serve(sys.stdin.buffer.raw)
