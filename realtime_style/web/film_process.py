"""A process that paints one film or picture, from the server's side; see `film_worker`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, Self

_STOP_S = 10.0  # how long a process may take to stop


class FilmProcess:
    """A running `film_worker`. All methods are called on the event loop."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        """Args: process, as `start` makes it."""
        self._process = process

    @classmethod
    async def start(cls, task: Mapping[str, str]) -> Self:
        """Starts to paint. Args: task, see `film_worker`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "realtime_style.web.film_worker",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        assert process.stdin
        process.stdin.write(json.dumps(task).encode() + b"\n")
        with contextlib.suppress(ConnectionError):
            await process.stdin.drain()
        return cls(process)

    async def messages(self) -> AsyncIterator[dict[str, Any]]:
        """What it tells, until it ends."""
        assert self._process.stdout
        async for line in self._process.stdout:
            yield json.loads(line)

    async def stop(self) -> None:
        """Lets it end by itself, and kills it if that takes too long."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), _STOP_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
