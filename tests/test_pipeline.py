from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Self

import numpy as np
import pytest

from realtime_style.channel import Channel
from realtime_style.color import ColorSpace
from realtime_style.errors import StyleError
from realtime_style.frame import Frame, FramePool, StreamInfo
from realtime_style.jobs.pipeline import QUEUE_FRAMES, Pipeline, RunStats


class Numbers:
    """A source of `count` frames whose pts count up; `fails_at` raises, `gate` holds it."""

    def __init__(self, count: int, fails_at: int | None = None, is_live: bool = False) -> None:
        self.info = StreamInfo(16, 16, Fraction(25), Fraction(1, 25), ColorSpace(), is_live=is_live)
        self.count = count
        self.fails_at = fails_at
        self.given = 0
        self.pool = FramePool()
        self.buffers: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def __iter__(self) -> Iterator[Frame]:
        for i in range(self.count):
            if i == self.fails_at:
                raise OSError("the source broke")
            buffer = self.pool.take(16, 16)
            self.buffers.add(id(buffer))
            self.given += 1
            yield Frame(buffer, i, self.info.time_base, pool=self.pool)


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


class AtOnce:
    """A stylizer that is done when it has begun."""

    def __init__(self, paint: Callable[[Frame], Frame]) -> None:
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
    assert (stats.frames, stats.dropped) == (300, 0)


def test_the_sink_is_called_on_the_calling_thread() -> None:
    sink = Collector()
    Pipeline(Numbers(3), same, sink).run()
    assert sink.thread is threading.current_thread()


def test_a_slow_sink_holds_the_source_back() -> None:
    source, sink = Numbers(100), Collector()
    most_ahead = 0

    def watch(stats: RunStats) -> None:
        nonlocal most_ahead
        time.sleep(0.002)
        most_ahead = max(most_ahead, source.given - stats.frames)

    Pipeline(source, same, sink, watch).run()
    assert sink.pts == list(range(100))
    assert most_ahead <= 2 * QUEUE_FRAMES + 4  # both queues, and one frame in each stage's hands


def test_buffers_are_used_again() -> None:
    source = Numbers(200)
    Pipeline(source, same, Collector()).run()
    assert len(source.buffers) <= 2 * QUEUE_FRAMES + 4


class Late:
    """A stylizer whose frames are painted when they are waited for, in their order."""

    def __init__(self) -> None:
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


@pytest.mark.parametrize("at_once", [1, 2, 3])
@pytest.mark.parametrize("count", [1, 2, 50])
def test_several_frames_are_on_their_way_and_keep_their_order(at_once: int, count: int) -> None:
    stylizer, sink = Late(), Collector()
    Pipeline(Numbers(count), stylizer, sink, painted_at_once=at_once).run()
    assert sink.pts == stylizer.begun == stylizer.finished == list(range(count))
    assert stylizer.most == min(at_once, count)


def test_what_was_begun_is_waited_for_though_nobody_wants_it() -> None:
    class Full(Collector):
        def write(self, frame: Frame) -> None:
            raise StyleError("the disk is full")

    stylizer = Late()
    with pytest.raises(StyleError, match="disk"):
        Pipeline(Numbers(50), stylizer, Full(), painted_at_once=3).run()
    assert stylizer.begun == stylizer.finished


def test_live_frames_are_never_kept_waiting_for_later_ones() -> None:
    stylizer = Late()
    Pipeline(Numbers(20, is_live=True), stylizer, Collector(), painted_at_once=3).run()
    assert stylizer.most == 1


def test_a_live_source_never_waits_and_keeps_the_newest() -> None:
    source, sink = Numbers(200, is_live=True), Collector()
    gate = threading.Event()

    def slow(frame: Frame) -> Frame:
        if frame.pts == 0:
            gate.wait(10)
        return copied(frame)

    class Opening(Numbers):
        def __iter__(self) -> Iterator[Frame]:
            yield from super().__iter__()
            gate.set()  # reached only if the source was never made to wait for the stylizer

    source = Opening(200, is_live=True)
    stats = Pipeline(source, AtOnce(slow), sink).run()
    assert source.given == 200
    assert sink.pts[-1] == 199
    assert sink.pts == sorted(sink.pts)
    assert stats.dropped == 200 - len(sink.pts)
    assert stats.dropped > 100


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
        shout,
    )
    before = threading.active_count()
    begin = time.perf_counter()
    with pytest.raises(OSError, match=f"the {stage} broke"):
        pipeline.run()
    assert time.perf_counter() - begin < 5  # generous; a hang would run into the suite's limit
    assert threading.active_count() == before


def test_an_interrupt_on_the_calling_thread_stops_everything() -> None:
    def interrupt(stats: RunStats) -> None:
        raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        Pipeline(Numbers(10_000), same, Collector(), interrupt).run()
    assert threading.active_count() == before


def test_stop_ends_the_run_with_what_was_read() -> None:
    source, sink = Numbers(100_000), Collector()
    pipeline = Pipeline(source, same, sink)

    def stop(stats: RunStats) -> None:
        if stats.frames == 10:
            pipeline.stop()

    pipeline.on_frame = stop
    stats = pipeline.run()
    assert 10 <= stats.frames < 100
    assert sink.pts == list(range(stats.frames))


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
