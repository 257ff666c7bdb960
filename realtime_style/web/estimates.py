"""How long a film will take to paint, and how large it will be, by painting a little of it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import av

from realtime_style.jobs.film import FilmRequest
from realtime_style.web.film_process import FilmProcess
from realtime_style.web.library import Film

_FRAMES = 48
_KEY_FRAMES = 250  # a key frame about every so many frames, where the film has no cuts


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a film will take.

    Attributes:
        painting_s: in seconds, if nothing else is painted.
        size_bytes: of the new film.
    """

    painting_s: float
    size_bytes: int


class Estimates:
    """Estimates for one film at a time: a new question ends the one before. On the event loop."""

    def __init__(self) -> None:
        """Starts nothing yet."""
        self._process: FilmProcess | None = None
        self._asked = 0

    async def of(self, film: Film, request: FilmRequest) -> Estimate | None:
        """Paints some frames from the middle of a film, in a process of its own.

        Args:
            request: how all of it is to be painted.

        Returns:
            None if there is no answer: for pictures, films of unknown length, films that cannot be
            painted, and where another question has come in the meantime.
        """
        self._asked += 1
        number = self._asked
        await self.stop()
        if number != self._asked or not film.duration_s or not film.rate:
            return None
        with tempfile.TemporaryDirectory() as folder:
            sample_s = min(film.duration_s, _FRAMES / film.rate)
            out = Path(folder) / f"sample{Path(request.out).suffix}"
            start_s = (film.duration_s - sample_s) / 2
            sample = replace(request, out=str(out), start_s=start_s, duration_s=sample_s)
            task = {"kind": film.kind, "request": sample.as_json(), "newest": f"{folder}/newest"}
            process = self._process = await FilmProcess.start(task)
            last: dict[str, Any] = {}
            try:
                async for message in process.messages():
                    last = message
            finally:
                await process.stop()
            if number != self._asked or not last.get("fps") or not out.is_file():
                return None
            frames = film.duration_s * film.rate
            return Estimate(frames / last["fps"], _expected_bytes(out, frames))

    async def stop(self) -> None:
        """Ends what is being estimated."""
        if self._process:
            await self._process.stop()


def _expected_bytes(sample: Path, frames: float) -> int:
    """The size of a film of so many frames; a sample has more than its share of key frames."""
    key: list[int] = []
    other: list[int] = []
    sound = 0
    with av.open(str(sample)) as container:
        for packet in container.demux():
            if packet.stream.type != "video":
                sound += packet.size
            elif packet.size:
                (key if packet.is_keyframe else other).append(packet.size)
    count = len(key) + len(other)
    keys = max(1.0, frames / _KEY_FRAMES)
    mean = sum(other or key) / len(other or key)
    return round(sum(key) / len(key) * keys + mean * (frames - keys) + sound * frames / count)
