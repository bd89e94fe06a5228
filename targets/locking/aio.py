"""The lock manager for asyncio: waits take no time of the loop, and a cancelled wait leaves nothing held."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar

from targets.locking.errors import LockingError
from targets.locking.hold import Hold
from targets.locking.manager import LockManager, Terms

T = TypeVar("T")


class AsyncLockManager:
    """`LockManager` for coroutines. Each call has a thread of its own while it lasts.

    Not from the loop's pool: a handful of waiters would fill it, and the release that they wait for would never run.
    """

    def __init__(self, manager: LockManager) -> None:
        self._manager = manager

    async def acquire(
        self, keys: str | Iterable[str], *, timeout_s: float | None = None, terms: Terms | None = None
    ) -> Hold:
        """Wait for one key, or all of several, and hold them. See `LockManager.acquire_all`.

        Cancelled, it takes its place out of the queue, and gives back what was granted just then.
        """
        wanted = [keys] if isinstance(keys, str) else list(keys)
        stop = threading.Event()
        patience = {} if timeout_s is None else {"timeout_s": timeout_s}
        waiting = _in_thread(lambda: self._manager.acquire_all(wanted, terms=terms, stop=stop, **patience))
        try:
            return await asyncio.shield(waiting)
        except asyncio.CancelledError:
            stop.set()
            waiting.add_done_callback(_give_back)
            raise

    async def release(self, hold: Hold) -> None:
        """Give it up, whether or not this coroutine is cancelled meanwhile."""
        await asyncio.shield(_in_thread(hold.release))

    async def renew(self, hold: Hold) -> None:
        """Begin its lease anew. Raises `NotOwner`."""
        await asyncio.shield(_in_thread(hold.renew))

    @asynccontextmanager
    async def holding(
        self, keys: str | Iterable[str], *, timeout_s: float | None = None, terms: Terms | None = None
    ) -> AsyncIterator[Hold]:
        """Hold it for the time of a block."""
        hold = await self.acquire(keys, timeout_s=timeout_s, terms=terms)
        try:
            yield hold
        except BaseException:
            with suppress(LockingError):  # the first error says more
                await self.release(hold)
            raise
        await self.release(hold)


def _give_back(waiting: asyncio.Future[Hold]) -> None:
    if waiting.exception() is None:
        _in_thread(waiting.result().release).add_done_callback(lambda released: released.exception())


def _in_thread(call: Callable[[], T]) -> asyncio.Future[T]:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = call()
        except Exception as raised:  # noqa: BLE001  raised again where it is awaited
            error = raised
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="locking-asyncio", daemon=True).start()
    return future
