"""Answers with a name on TCP and UDP, and says what UDP has brought: `network_answer.py NAME PORT [ADDRESS…]`."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading


def tcp(name: str, address: str, port: int) -> None:
    listening = socket.create_server((address, port))
    print(f"ready {name} {address}", flush=True)  # noqa: T201
    while True:
        connection = listening.accept()[0]
        connection.sendall(name.encode())
        threading.Thread(target=echo, args=[connection], daemon=True).start()


def echo(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := connection.recv(100):
            connection.sendall(data)


def udp(name: str, address: str, port: int) -> None:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind((address, port))
    while True:
        data, sender = bound.recvfrom(100)
        print(f"udp {data.decode()} from {sender[0]}", flush=True)  # noqa: T201
        bound.sendto(name.encode(), sender)


if __name__ == "__main__":
    me, at, *addresses = sys.argv[1:]
    for each in addresses or ["0.0.0.0"]:  # noqa: S104  every address is the point
        for serve in (tcp, udp):
            threading.Thread(target=serve, args=[me, each, int(at)]).start()
