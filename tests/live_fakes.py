"""Cameras, windows and styles for the tests of live jobs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np

from realtime_style.color import ColorSpace
from realtime_style.engines.choice import EngineChoice
from realtime_style.frame import Frame, FramePool, StreamInfo
from realtime_style.live.clock import MICROSECOND, now_us
from realtime_style.live.feed import Feed
from realtime_style.live.front_end import FrontEnd, Shot
from realtime_style.live.opencv_window import Pointer
from realtime_style.live.output import Output
from realtime_style.live.session import LiveJob
from realtime_style.live.stage import LiveStage
from realtime_style.live.stats import LiveStats
from realtime_style.live.window_front_end import WindowFrontEnd
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.look import Look

SIZE = (64, 48)
INFO = StreamInfo(*SIZE, Fraction(100), MICROSECOND, ColorSpace(), is_live=True)
LONG_S = 30.0  # more than anything here takes; a test that waits so long fails


def frame(luma: int = 100, size: tuple[int, int] = SIZE, pool: FramePool | None = None) -> Frame:
    buffer = pool.take(size[1], size[0]) if pool else np.empty((size[1] * 3 // 2, size[0]), "u1")
    buffer[...] = 128
    buffer[: size[1]] = luma
    return Frame(buffer, now_us(), MICROSECOND, pool=pool)


def grey(luma: int) -> Callable[[], Iterator[Frame]]:
    """Endless frames of one luma."""

    def acts() -> Iterator[Frame]:
        while True:
            yield frame(luma)

    return acts


def real_time(luma: int) -> Callable[[], Iterator[Frame]]:
    """Endless frames of one luma, 100 a second."""

    def acts() -> Iterator[Frame]:
        while True:
            time.sleep(0.01)
            yield frame(luma)

    return acts


def rising(count: int = 1_000_000) -> Callable[[], Iterator[Frame]]:
    """Frames of a luma that changes with each one."""

    def acts() -> Iterator[Frame]:
        for i in range(count):
            yield frame(16 + i % 200)

    return acts


def wait_until(holds: Callable[[], object], what: str = "it") -> None:
    end_s = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < end_s, f"{what} did not come true"
        time.sleep(0.002)


class Camera:
    """A source that does what a test says: `acts` yields frames, raises or blocks."""

    description = "a camera"

    def __init__(self, acts: Callable[[], Iterator[Frame]], info: StreamInfo = INFO) -> None:
        self.info, self._acts = info, acts

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        return None

    def __iter__(self) -> Iterator[Frame]:
        return self._acts()


Events = Sequence[str] | Pointer | None
User = Generator[Events, None, None]
CLOSE = "CLOSE"


class FakeWindow:
    """A window with a user: a generator that yields keys, a pointer, None for nothing, or CLOSE."""

    def __init__(
        self, user: Callable[[FakeWindow], User] | None = None, size: tuple[int, int] = SIZE
    ) -> None:
        self.size = size
        self.shown: list[np.ndarray[Any, Any]] = []
        self.full = False
        self.closed = False
        self._user = user(self) if user else None

    def show(self, bgr: np.ndarray[Any, Any]) -> None:
        assert bgr.shape == (self.size[1], self.size[0], 3)
        self.shown.append(bgr.copy())

    def poll(self, wait_ms: int) -> tuple[list[str], list[Pointer]] | None:
        events = next(self._user, None) if self._user else None
        if isinstance(events, Pointer):
            return [], [events]
        if events == CLOSE:
            return None
        return list(events or ()), []

    def full_screen(self, on: bool) -> None:
        self.full = on

    def close(self) -> None:
        self.closed = True


def until(holds: Callable[[], object]) -> User:
    """A user who does nothing until something holds."""
    end_s = time.monotonic() + LONG_S
    while not holds():
        assert time.monotonic() < end_s, "what the user waits for did not come true"
        yield None


class Bench:
    """A live job whose camera gives each frame once the one before was shown: none is dropped.

    Attributes:
        shots: (look, style, mean luma) of each shot.
        said: what the job reported.
    """

    def __init__(
        self,
        acts: Callable[[], Iterator[Frame]],
        styles: list[str],
        window: FakeWindow | None = None,
        *,
        has_end: bool = True,
        open_source: Callable[[], Any] | None = None,
        silent_s: float = LONG_S,
        stage: Any = None,
        outputs: list[Output] | None = None,
        at_own_pace: bool = False,
        on_report: Callable[[str], None] = lambda message: None,
        front_end: FrontEnd | None = None,
        **options: Any,
    ) -> None:
        self.shots: list[tuple[str, str, int]] = []
        self.said: list[str] = []
        self._acts, self._shown = acts, threading.Semaphore()
        camera = Camera(acts if at_own_pace else self._in_step)
        self.feed = Feed(
            open_source or (lambda: camera), has_end=has_end, retry_s=0.01, silent_s=silent_s
        )
        self.in_step = self._in_step
        self.stage = stage or live_stage(styles)
        self.window = WindowFrontEnd(window) if window else None
        front_end = front_end or self.window

        def take(message: str) -> None:
            assert threading.current_thread() is threading.main_thread()
            self.said.append(message)
            on_report(message)

        self.job = LiveJob(
            self.feed,
            self.stage,
            open_front_end=(lambda info: front_end) if front_end else None,
            open_outputs=lambda info: outputs or [],
            on_message=take,
            **options,
        )

    def run(self, on_shot: Callable[[Shot], None] = lambda shot: None) -> LiveStats:
        def on_each(shot: Shot) -> None:
            self.shots.append((str(shot.look), shot.style, int(shot.painted.luma.mean())))
            on_shot(shot)
            self._shown.release()

        return self.job.run(on_each)

    def has_said(self, part: str) -> bool:
        return any(part in message for message in self.said)

    def _in_step(self) -> Iterator[Frame]:
        for each in self._acts():
            while not self._shown.acquire(timeout=0.01):
                if self.feed.frames.is_over:
                    return
            yield Frame(each.i420, now_us(), MICROSECOND, pool=each.pool)


def live_stage(styles: list[str], **options: Any) -> LiveStage:
    plan = PaintPlan(Look(styles[0]), EngineChoice("openvino", "f32"))
    return LiveStage(styles, plan, **options)


def frames_in(path: Path) -> int:
    with av.open(str(path)) as film:
        return sum(1 for _ in film.decode(video=0))
