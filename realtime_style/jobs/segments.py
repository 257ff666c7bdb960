"""Segments of a film: one of them painted, all of them joined.

Both are plain functions of values that can be pickled, so a segment can be painted in any process
that sees the film and the folder of parts. What is painted depends on the film and the request
only: every segment is painted as a film of its own, after its lead-in, whoever paints it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from realtime_style.errors import MediaError
from realtime_style.frame import Frame, StreamInfo
from realtime_style.jobs.pipeline import Pipeline, RunStats
from realtime_style.jobs.request import FilmRequest, film_size, open_source
from realtime_style.jobs.seam import KeepingSink, fade
from realtime_style.jobs.trace import Trace
from realtime_style.media.encoder import Shown
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.media.packet_log import PacketLog, joined_packets, read_log
from realtime_style.media.part_sink import PartSink
from realtime_style.painting.chain import PainterChain, build_painter
from realtime_style.wording import counted

PART_SUFFIX = ".packets"


@dataclass(frozen=True, slots=True)
class LeadIn:
    """Where the work on a segment begins.

    Attributes:
        read_pts: of the first frame that is decoded.
        paint_pts: of the first frame that is painted; it comes before the segment where that does
            not begin at a cut.
    """

    read_pts: int
    paint_pts: int


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive frames of a film, painted as one film. Times are in ticks of its stream.

    Attributes:
        number: from 0.
        frames: how many frames it has.
        start_pts, last_pts: of its first and its last frame.
        lead_in: where the work on it begins.
        fade_pts: of the first frame that fades into the next segment's painting; None where that
            begins at a cut, and at the end of the film.
        next_lead_in: where the work on the next segment begins, if the two fade.
    """

    number: int
    frames: int
    start_pts: int
    last_pts: int
    lead_in: LeadIn
    fade_pts: int | None = None
    next_lead_in: LeadIn | None = None

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Makes a segment from its plain values; raises KeyError, TypeError."""
        after = plain["next_lead_in"]
        lead_ins = {
            "lead_in": LeadIn(**plain["lead_in"]),
            "next_lead_in": LeadIn(**after) if after else None,
        }
        return cls(**plain | lead_ins)


@dataclass(frozen=True, slots=True)
class FilmPlan:
    """The segments of a film.

    Attributes:
        segments: in the film's order.
        threads: how many threads each encoder starts: the bytes of some depend on it.
        is_whole: whether the film has been read to its end; until then segments are missing.
        notes: what reading the film has shown.
        lost_s: how much of the film could not be read, in seconds.
    """

    segments: tuple[Segment, ...] = ()
    threads: int = 0
    is_whole: bool = True
    notes: tuple[str, ...] = ()
    lost_s: float = 0.0

    @property
    def frames(self) -> int:
        """How many frames the segments have together."""
        return sum(segment.frames for segment in self.segments)

    def as_dict(self) -> dict[str, Any]:
        """The plan in plain values, for JSON; `from_dict` reads it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> Self:
        """Makes the plan from what `as_dict` returned; raises KeyError, TypeError."""
        segments = tuple(Segment.from_dict(segment) for segment in plain["segments"])
        return cls(**plain | {"segments": segments, "notes": tuple(plain["notes"])})


@dataclass(frozen=True, slots=True)
class Part:
    """A painted segment.

    Attributes:
        number: of the segment.
        frames: how many it has.
        size_bytes: of its packet log.
        crc: of the log.
        stats: how long each stage took. Their frames include the lead-in.
    """

    number: int
    frames: int
    size_bytes: int
    crc: int
    stats: RunStats


def part_path(folder: Path, number: int) -> Path:
    """Where the packet log of a segment is in the folder of parts."""
    return folder / f"{number:05d}{PART_SUFFIX}"


def read_part(segment: Segment, folder: Path) -> PacketLog | None:
    """The packet log of a segment; None if it is missing, damaged or of other frames."""
    try:
        log = read_log(part_path(folder, segment.number))
    except (MediaError, OSError):
        return None
    return log if is_of(log, segment) else None


def is_of(log: PacketLog, segment: Segment) -> bool:
    """Whether a log has the frames of a segment."""
    shown = log.shown
    return (shown.frames, shown.first_pts) == (segment.frames, segment.start_pts)


def paint_segment(
    request: FilmRequest,
    segment: Segment,
    folder: Path,
    *,
    threads: int,
    painter: PainterChain | None = None,
    on_frame: Callable[[int], None] = lambda frames: None,
    if_stopped: Path | None = None,
    trace: Trace | None = None,
    on_painted: Callable[[Frame], None] | None = None,
) -> Part:
    """Paints one segment of a film into its packet log in a folder.

    Args:
        folder: an existing folder; the log appears in it only when it is complete.
        threads: how many the encoder starts, see `FilmPlan`.
        painter: built for this request, so that nothing is loaded again; None builds one.
        on_frame: called with the number of frames of the segment that have been encoded.
        if_stopped: where the frames so far are logged after KeyboardInterrupt; None: nowhere.
        trace: gets a span for all that a stage does or waits for.
        on_painted: called with each painted frame once it has been written; must not keep it.

    Raises:
        StyleError: reading, painting or writing failed, or the film is another than was planned.
    """
    with open_source(request) as source:
        info = source.info
        painter = painter or build_painter(request.plan, info.color, in_flight=None)
        painter.prepare((info.width, info.height))
        after = _next_paintings(request, segment, painter)
        source.skip_to(segment.lead_in.read_pts)
        painter.reset()
        sink = PartSink(
            part_path(folder, segment.number),
            Path(request.out),
            info,
            start_pts=segment.start_pts,
            size=film_size(request, info),
            encoding=request.encoding,
            threads=threads,
            before_encoding=lambda frame: fade(frame, after),
            if_stopped=if_stopped,
        )
        with sink:
            frames = _FramesBetween(source, segment.lead_in.paint_pts, segment.last_pts)
            pipeline = Pipeline(frames, painter, sink, trace, on_painted)
            stats = pipeline.run(lambda _: on_frame(sink.frames))
            if sink.frames != segment.frames:
                raise MediaError(
                    f"{source.name} has {counted(sink.frames, 'frame')} in segment "
                    f"{segment.number + 1}, where it had {segment.frames} when it was planned",
                    setting="source",
                )
    assert sink.log
    size_bytes = sink.log.path.stat().st_size
    return Part(segment.number, segment.frames, size_bytes, sink.log.crc, stats)


def _next_paintings(
    request: FilmRequest, segment: Segment, painter: PainterChain
) -> dict[int, NDArray[np.uint8]]:
    """What the next segment's lead-in looks like where this segment fades, by pts."""
    if segment.fade_pts is None or segment.next_lead_in is None:
        return {}
    kept = KeepingSink(segment.fade_pts)
    with open_source(request) as source:
        source.skip_to(segment.next_lead_in.read_pts)
        painter.reset()
        frames = _FramesBetween(source, segment.next_lead_in.paint_pts, segment.last_pts)
        Pipeline(frames, painter, kept).run()
    return kept.pictures


class _FramesBetween:
    """The frames of a source between two times: `Frames`."""

    def __init__(self, source: FileSource, first_pts: int, last_pts: int) -> None:
        self._source, self._first_pts, self._last_pts = source, first_pts, last_pts

    @property
    def info(self) -> StreamInfo:
        """See `Frames`."""
        return self._source.info

    def __iter__(self) -> Iterator[Frame]:
        """See `Frames`."""
        for frame in self._source:
            if frame.pts > self._last_pts:
                frame.release()
                return
            if frame.pts < self._first_pts:
                frame.release()
                continue
            yield frame


def join_film(
    plan: FilmPlan, folder: Path, sink: FileSink, stopped: PacketLog | None = None
) -> None:
    """Writes all parts of a film, one after the other, into a sink that nothing was written to.

    Leaving the sink's context completes the film, with all other streams of its source.

    Args:
        sink: opened for the same request, with the plan's number of threads.
        stopped: the beginning of one more segment, which comes last.

    Raises:
        MediaError: a part is missing or damaged, or the film cannot be written.
    """
    logs = []
    for segment in plan.segments:
        log = read_part(segment, folder)
        if log is None:
            raise MediaError(f"{part_path(folder, segment.number)} is missing or damaged")
        logs.append(log)
    logs += [stopped] if stopped else []
    if logs:
        sink.join(joined_packets(logs), joined_shown([log.shown for log in logs]))


def joined_shown(shown: Sequence[Shown]) -> Shown:
    """What consecutive segments show together."""
    return replace(
        shown[-1], frames=sum(each.frames for each in shown), first_pts=shown[0].first_pts
    )
