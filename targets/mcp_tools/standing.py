"""Where the client believes the server to be: what a replacement must be told before it can take over."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec import UNSET, Raw

from targets.mcp_tools import messages
from targets.mcp_tools.calls import Call
from targets.mcp_tools.messages import Id, Message, Params

INITIALIZE, INITIALIZED = "initialize", "notifications/initialized"
_SUBSCRIBE, _UNSUBSCRIBE, _SET_LEVEL = "resources/subscribe", "resources/unsubscribe", "logging/setLevel"
CONFIRMATION = messages.request(INITIALIZED, {})


class Standing:
    """The handshake, log level and subscriptions of a client of the handshake era; the envelope of a stateless one."""

    def __init__(self) -> None:
        self.confirmed = False
        self._id: Id | None = None
        self._params = Raw(b"")
        self._answered = False
        self._envelope: Raw | None = None
        self._settled: dict[tuple[str, str], Raw] = {}

    @property
    def handshake(self) -> Raw | None:
        """The parameters of a handshake that the client has the answer to, and a replacement has not."""
        return self._params if self._answered else None

    @property
    def known(self) -> bool:
        """Whether the client's era is known."""
        return self._id is not None or self._envelope is not None

    @property
    def probe(self) -> str:
        """The request that every server of this era answers."""
        return "server/discover" if self._id is None else "ping"

    def params(self, extra: dict[str, object] | None = None) -> dict[str, object]:
        """Return parameters for a request of our own, as this era wants them."""
        meta = {"_meta": self._envelope} if self._id is None and self._envelope is not None else {}
        return {**meta, **(extra or {})}

    def settled(self) -> Iterator[tuple[str, Raw]]:
        """Yield the requests that made the server what it is, as method and parameters."""
        for (method, _), params in self._settled.items():
            yield method, params

    def asked(self, id_: Id, message: Message, params: Params) -> None:
        """The client sends a request."""
        if message.name == INITIALIZE:
            self._id, self._params, self._answered, self.confirmed = id_, Raw(bytes(message.params)), False, False
            self._settled.clear()
        elif params.meta.version is not UNSET and self._envelope is None:
            meta = messages.fields(messages.fields(message.params)["_meta"])
            meta.pop("progressToken", None)
            self._envelope = Raw(messages.encode(meta))

    def answered(self, call: Call) -> None:
        """The client's request has a result."""
        if call.method == INITIALIZE and call.id == self._id:
            self._answered = True
        elif call.method in {_SUBSCRIBE, _SET_LEVEL}:
            about = call.tool if call.method == _SUBSCRIBE else ""
            self._settled[call.method, about] = Raw(bytes(messages.decode(call.line).params))
        elif call.method == _UNSUBSCRIBE:
            self._settled.pop((_SUBSCRIBE, call.tool), None)
