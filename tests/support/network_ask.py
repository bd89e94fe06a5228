"""Asks many places at once: JSON pairs of address and port in, a JSON object of what each said out, by protocol."""

from __future__ import annotations

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

PATIENCE_S = 1.5


def ask(place: tuple[str, int, str]) -> str:
    address, port, protocol = place
    kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, kind) as asking:
            asking.settimeout(PATIENCE_S)
            asking.connect((address, port))
            if protocol == "udp":
                asking.send(b"who")
            return asking.recv(100).decode()
    except OSError as error:
        return f"! {error}"


if __name__ == "__main__":
    places = json.loads(sys.argv[1])
    with ThreadPoolExecutor(64) as pool:
        print(json.dumps(list(pool.map(ask, places))))  # noqa: T201
