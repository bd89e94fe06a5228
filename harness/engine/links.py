"""The links that faults act on: a Toxiproxy server of the run's own, with a proxy in front of each."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Self

from harness.engine.host import Host
from harness.engine.loop import Loop
from harness.scenario.model import Scenario
from harness.wire import Answer, Json

if TYPE_CHECKING:
    from harness.faults._toxiproxy import Proxy, Server


class Links:
    """The proxies by the names of their links. Without a link, there is no server, and nothing to do.

    The server carries the run's label, whose sweep must be journaled before. Methods may be called from any thread.
    """

    def __init__(self, names: Iterable[str], label: str, log: Path) -> None:
        """Start the server. Raises `EnvironmentLacks` where there is none, or it does not start."""
        self._server: Server | None = None
        self._proxies: dict[str, Proxy] = {}
        wanted = sorted(names)
        if wanted:
            from harness.faults._toxiproxy import Server  # noqa: PLC0415  0.2 s that only those with a link pay

            self._server = Server(label, log)
            self._proxies = {name: self._server.create(name) for name in wanted}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def arguments(self) -> Json:
        """What `start` gets: {"links": {name: where clients shall connect to}}, or nothing."""
        addresses = {name: proxy.state()["listen"] for name, proxy in self._proxies.items()}
        return {"links": addresses} if addresses else {}

    def follow(self, description: Json) -> None:
        """Lead every proxy to where the target listens now, according to an answer to `describe`."""
        for name, handle in description.get("handles", {}).items():
            if name in self._proxies:
                self._lead(self._proxies[name], handle)

    def ask(self, loop: Loop, host: Host) -> None:
        """Ask the target where it listens, and follow; from the loop's thread, which goes on meanwhile."""

        def answered(answer: Future[Answer]) -> None:
            if not answer.cancelled() and answer.exception() is None:
                loop.act(lambda: self.follow(answer.result().result))

        if self._proxies:
            host.ask("describe", {}).add_done_callback(answered)

    def beside(self, name: str, handle: Json) -> Json:
        """Return a link's handle with where its proxy is, for the fault that acts on it."""
        proxy = self._proxies.get(name)
        if proxy is None:
            return handle
        self._lead(proxy, handle)
        return {**handle, "api": proxy.api, "proxy": proxy.name}

    def close(self) -> None:
        """End the server; it has no connections to anybody any more."""
        if self._server is not None:
            self._server.close()
        self._server, self._proxies = None, {}

    @staticmethod
    def _lead(proxy: Proxy, handle: Json) -> None:
        address = handle.get("address")
        if address is not None and address != proxy.state()["upstream"]:
            proxy.lead_to(str(address))


def links_of(scenario: Scenario) -> set[str]:
    """Return the links that the faults of a scenario act on."""
    return {str(step.on) for step in scenario.faults if step.parameters.on == "link"}


def undo_modules(scenario: Scenario) -> list[str]:
    """Return what a guardian must import beside the faults."""
    return ["harness.faults._toxiproxy"] if links_of(scenario) else []
