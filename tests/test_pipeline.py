from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Self

import numpy as np
import pytest
from numpy.typing import NDArray

from realtime_style.channel import Channel
from realtime_style.color import ColorSpace
from realtime_style.errors import StyleError
from realtime_style.frame import Frame, FramePool, StreamInfo
from realtime_style.jobs.pipeline import QUEUE_FRAMES, Pipeline, RunStats


class CountingPool(FramePool):
    """Counts the buffers that are in use, and the most that ever were."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()
        self.used = self.most_used = 0

    def take(self, height: int, width: int) -> NDArray[np.uint8]:
        with self.lock:
            self.used += 1
            self.most_used = max(self.most_used, self.used)
        return super().take(height, width)

    def give(self, buffer: NDArray[np.uint8]) -> None:
        with self.lock:
            self.used -= 1
        super().give(buffer)


class Numbers:
    """A source of `count` frames whose pts count up; `fails_at` raises."""

    def __init__(self, count: int, fails_at: int | None = None) -> None:
        self.info = StreamInfo(16, 16, Fraction(25), Fraction(1, 25), ColorSpace())
        self.count = count
        self.fails_at = fails_at
        self.given = 0
        self.pool = CountingPool()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def __iter__(self) -> Iterator[Frame]:
        for i in range(self.count):
            if i == self.fails_at:
                raise OSError("the source broke")
            self.given += 1
            yield Frame(self.pool.take(16, 16), i, self.info.time_base, pool=self.pool)


class Collector:
    """A sink that keeps the pts it was given; `fails_at` raises."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.pts: list[int] = []
        self.fails_at = fails_at
        self.thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def write(self, frame: Frame) -> None:
        self.thread = threading.current_thread()
        if frame.pts == self.fails_at:
            raise OSError("the sink broke")
        self.pts.append(frame.pts)


class FakePainter:
    """What every painter has, and nothing painted."""

    def __init__(self, in_flight: int = 1) -> None:
        self.in_flight = in_flight
        self.cancelled = threading.Event()

    def prepare(self, size: tuple[int, int], on_build: object = None) -> None: ...

    def reset(self) -> None: ...

    def cancel(self) -> None:
        self.cancelled.set()


class AtOnce(FakePainter):
    """A painter that is done when it has begun."""

    def __init__(self, paint: Callable[[Frame], Frame]) -> None:
        super().__init__()
        self.paint = paint

    def begin(self, frame: Frame) -> Callable[[], Frame]:
        painted = self.paint(frame)
        return lambda: painted


def copied(frame: Frame) -> Frame:
    return Frame(frame.i420.copy(), frame.pts, frame.time_base)


same = AtOnce(copied)


def test_every_frame_arrives_once_and_in_order() -> None:
    sink = Collector()
    stats = Pipeline(Numbers(300), same, sink).run()
    assert sink.pts == list(range(300))
    assert stats.frames == 300


def test_the_sink_is_called_on_the_calling_thread() -> None:
    sink = Collector()
    Pipeline(Numbers(3), same, sink).run()
    assert sink.thread is threading.current_thread()


def test_a_slow_sink_holds_the_source_back() -> None:
    bound = 2 * QUEUE_FRAMES + 4  # both queues, and one frame in each stage's hands
    filled, too_far = threading.Event(), threading.Event()

    class Ahead(Numbers):
        def __iter__(self) -> Iterator[Frame]:
            for frame in super().__iter__():
                if self.given > 2 * QUEUE_FRAMES:
                    filled.set()
                if self.given > bound + 1:
                    too_far.set()
                yield frame

    def hold(stats: RunStats) -> None:
        if stats.frames == 1:
            assert filled.wait(20), "the source reads ahead as far as the queues allow"
            assert not too_far.wait(0.2)

    sink = Collector()
    Pipeline(Ahead(100), same, sink).run(hold)
    assert sink.pts == list(range(100))


def test_every_frame_of_the_source_and_of_the_painter_is_released() -> None:
    source, painted = Numbers(200), CountingPool()

    def paint(frame: Frame) -> Frame:
        return frame.blank(painted)

    Pipeline(source, AtOnce(paint), Collector()).run()
    assert source.pool.used == painted.used == 0
    assert source.pool.most_used <= 2 * QUEUE_FRAMES + 4
    assert painted.most_used <= QUEUE_FRAMES + 2


class Late(FakePainter):
    """A painter whose frames are painted when they are waited for, in order."""

    def __init__(self, in_flight: int = 1) -> None:
        super().__init__(in_flight)
        self.begun: list[int] = []
        self.finished: list[int] = []
        self.most = 0

    def begin(self, frame: Frame) -> Callable[[], Frame]:
        self.begun.append(frame.pts)
        self.most = max(self.most, len(self.begun) - len(self.finished))
        kept = copied(frame)

        def finish() -> Frame:
            self.finished.append(kept.pts)
            return kept

        return finish


@pytest.mark.parametrize("in_flight", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 50])
def test_several_frames_in_flight_keep_their_order(in_flight: int, count: int) -> None:
    painter, sink = Late(in_flight), Collector()
    Pipeline(Numbers(count), painter, sink).run()
    assert sink.pts == painter.begun == painter.finished == list(range(count))
    assert painter.most == min(in_flight, count)


def test_what_was_begun_is_waited_for_though_nobody_wants_it() -> None:
    class Full(Collector):
        def write(self, frame: Frame) -> None:
            raise StyleError("the disk is full")

    painter = Late(in_flight=3)
    with pytest.raises(StyleError, match="disk"):
        Pipeline(Numbers(50), painter, Full()).run()
    assert painter.begun == painter.finished


@pytest.mark.parametrize("count", [0, 1, 5, 50])
@pytest.mark.parametrize("stage", ["source", "stylizer", "sink", "callback"])
def test_an_error_in_any_stage_reaches_the_caller_and_no_thread_stays(
    stage: str, count: int
) -> None:
    def break_(frame: Frame) -> Frame:
        if stage == "stylizer" and frame.pts == count:
            raise OSError("the stylizer broke")
        return copied(frame)

    def shout(stats: RunStats) -> None:
        if stage == "callback" and stats.frames == count + 1:
            raise OSError("the callback broke")

    pipeline = Pipeline(
        Numbers(1000, fails_at=count if stage == "source" else None),
        AtOnce(break_),
        Collector(fails_at=count if stage == "sink" else None),
    )
    before = threading.active_count()
    with pytest.raises(OSError, match=f"the {stage} broke"):
        pipeline.run(shout)
    assert threading.active_count() == before


def test_an_interrupt_on_the_calling_thread_stops_everything() -> None:
    def interrupt(stats: RunStats) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        Pipeline(Numbers(10_000), same, Collector()).run(interrupt)
    assert threading.active_count() == before


@pytest.mark.timeout(60)
def test_an_interrupt_does_not_wait_for_a_source_that_delivers_nothing() -> None:
    silent, ended = threading.Event(), threading.Event()

    class Silent(Numbers):
        def __iter__(self) -> Iterator[Frame]:
            yield from super().__iter__()
            silent.wait()
            ended.set()

    def interrupt(stats: RunStats) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Pipeline(Silent(1), same, Collector()).run(interrupt)
    assert not ended.is_set()
    silent.set()  # lets the thread that was left behind end
    assert ended.wait(20)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_frame_that_nobody_wants_any_more_is_cancelled(error: type[BaseException]) -> None:
    class Endless(FakePainter):
        """Paints its second frame until it is cancelled."""

        def begin(self, frame: Frame) -> Callable[[], Frame]:
            kept = copied(frame)

            def finish() -> Frame:
                if kept.pts:
                    self.cancelled.wait()
                    raise StyleError("cancelled")
                return kept

            return finish

    def stop(stats: RunStats) -> None:
        raise error

    painter = Endless()
    with pytest.raises(error):
        Pipeline(Numbers(10), painter, Collector()).run(stop)
    assert painter.cancelled.is_set()


def test_channel_gives_what_is_within_after_the_end_and_nothing_after_a_cut() -> None:
    channel: Channel[int] = Channel(4)
    assert channel.put(1)
    assert channel.put(2)
    channel.end()
    assert list(channel) == [1, 2]
    cut: Channel[int] = Channel(4)
    cut.put(1)
    cut.cut()
    assert list(cut) == []
    assert cut.put(2) is False


def test_painting_leaves_the_source_frame_alone() -> None:
    frame = next(iter(Numbers(1)))
    frame.i420[...] = 9
    kept = frame.i420.copy()
    copied(frame).i420[...] = 0
    assert np.array_equal(frame.i420, kept)
