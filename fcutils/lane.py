"""A lane: what has to be done one at a time waits here for its turn, in threads and on event loops alike.

Knows nothing of tools (`toolbox.py`). Whoever is in a lane and comes to it once more, as a tool does that calls another
one, goes through.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

POLL = 0.002  # seconds between two looks of a task that waits


class LaneError(RuntimeError):
    """Waiting would never end: what is in the lane is a task of the event loop that waiting would hold up."""


class Lane:
    """For one at a time: `with lane.alone()`, or on an event loop `async with lane.alone_on_loop()`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None  # whose task is in the lane

    @contextmanager
    def alone(self) -> Iterator[None]:
        if self in _HELD.get():
            yield
            return
        if self._loop is not None and self._loop is _running_loop():
            raise LaneError("An earlier call is not done, and waiting for it here would stop its event loop: await acall().")
        with self._lock, self._held():
            yield

    @asynccontextmanager
    async def alone_on_loop(self) -> AsyncIterator[None]:
        if self in _HELD.get():
            yield
            return
        while not self._lock.acquire(blocking=False):  # a thread that waited for it would keep it if this task were cancelled
            await asyncio.sleep(POLL)
        self._loop = asyncio.get_running_loop()
        try:
            with self._held():
                yield
        finally:
            self._loop = None
            self._lock.release()

    @contextmanager
    def _held(self) -> Iterator[None]:
        token = _HELD.set(_HELD.get() | {self})
        try:
            yield
        finally:
            _HELD.reset(token)


_HELD: contextvars.ContextVar[frozenset[Lane]] = contextvars.ContextVar("lanes held by this call", default=frozenset())


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
