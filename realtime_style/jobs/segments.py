"""Segments of a film: the plan, one segment painted, all of them joined.

All three are plain functions of values that can be pickled, so a segment can be painted in any
process that sees the film and the folder of parts. What is painted depends on the film and the
request only: every segment is painted as a film of its own, after its lead-in, whoever paints it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from realtime_style.defaults import DEFAULT_STABILITY
from realtime_style.errors import MediaError
from realtime_style.frame import Frame, StreamInfo
from realtime_style.jobs.pipeline import Pipeline
from realtime_style.jobs.request import FilmRequest, film_size, open_source
from realtime_style.media.encoder import Shown
from realtime_style.media.film_sink import FileSink, holds_segments
from realtime_style.media.film_source import FileSource
from realtime_style.media.packet_log import PacketLog, joined_packets, read_log
from realtime_style.media.part_sink import PartSink
from realtime_style.painting.chain import PainterChain, build_painter
from realtime_style.painting.steady import Steady
from realtime_style.stages import Pending
from realtime_style.system.cores import usable_cores
from realtime_style.wording import counted

MIN_S, USUAL_S, MAX_S = 5.0, 20.0, 60.0
"""The shortest and the longest segment, and how long one is at least where cuts allow it."""

LEAD_IN_FRAMES = 56
"""Frames before a border without a cut that are painted and not written."""

_DECODED_BEFORE = 16  # frames; deinterlacing compares a picture with those before it


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive frames of a film, painted as one film. Times are in ticks of its stream.

    Attributes:
        number: from 0.
        frames: how many frames it has.
        start_pts, last_pts: of its first and its last frame.
        paint_pts: of the first frame that is painted; it comes before `start_pts` where the
            segment does not begin at a cut.
        read_pts: of the first frame that is decoded.
    """

    number: int
    frames: int
    start_pts: int
    last_pts: int
    paint_pts: int
    read_pts: int


@dataclass(frozen=True, slots=True)
class FilmPlan:
    """The segments of a film; none if it is painted in one piece.

    Attributes:
        segments: in the film's order.
        threads: how many threads each encoder starts: the bytes of some depend on it.
        notes: what reading the film has shown.
    """

    segments: tuple[Segment, ...] = ()
    threads: int = 0
    notes: tuple[str, ...] = ()

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
        segments = tuple(Segment(**segment) for segment in plain["segments"])
        return cls(segments, plain["threads"], tuple(plain["notes"]))


@dataclass(frozen=True, slots=True)
class Part:
    """A painted segment.

    Attributes:
        number: of the segment.
        frames: how many it has.
        size_bytes: of its packet log.
        crc: of the log.
    """

    number: int
    frames: int
    size_bytes: int
    crc: int


def can_be_planned(request: FilmRequest, source: FileSource) -> bool:
    """Whether a film is painted in segments: a file that can be sought, of more than a minute.

    Pipes, addresses, numbered pictures, GIF, containers whose clock may jump or that know no times,
    and frames in GPU memory are painted in one piece.
    """
    length_s = source.info.duration_s or 0
    is_fit = holds_segments(Path(request.out)) and source.can_skip and request.residency != "gpu"
    return is_fit and length_s > MAX_S


def plan_film(
    request: FilmRequest, on_frame: Callable[[int], None] = lambda frames: None
) -> FilmPlan:
    """Reads a film once, without painting it, and finds its segments.

    The plan depends on the film and the request only, except for `threads`. A film of which
    something cannot be read is painted in one piece.

    Args:
        on_frame: called with the number of frames read so far.

    Raises:
        MediaError: the film cannot be read.
    """
    with open_source(request) as source:
        if not can_be_planned(request, source):
            return FilmPlan()
        finder = Steady(
            _Unpainted(), request.plan.stability or DEFAULT_STABILITY, request.plan.look.strokes
        )
        pts: list[int] = []
        cuts: list[int] = []
        for frame in source:
            finder.begin(frame)
            if finder.has_cut:
                cuts.append(len(pts))
            pts.append(frame.pts)
            frame.release()
            on_frame(len(pts))
        if source.lost_s:
            return FilmPlan()
        tick_s = float(source.info.time_base)
        borders = find_borders([at * tick_s for at in pts], cuts)
        segments = _segments(pts, borders, frozenset(cuts))
        return FilmPlan(segments, usable_cores(), tuple(source.notes))


class _Unpainted:
    """A `Painter` that returns frames as they are."""

    in_flight = 1

    def prepare(
        self, size: tuple[int, int], on_build: Callable[[float], None] | None = None
    ) -> None:
        """See `Painter`."""

    def begin(self, frame: Frame) -> Pending[Frame]:
        """See `Painter`."""
        return lambda: frame

    def reset(self) -> None:
        """See `Painter`."""

    def cancel(self) -> None:
        """See `Painter`."""


def find_borders(times_s: Sequence[float], cuts: Sequence[int]) -> list[int]:
    """The numbers of the frames at which segments begin, 0 first.

    A segment ends at the first cut after `USUAL_S`, or else at the last one before it, but not
    before `MIN_S`. Without a cut it ends after `MAX_S`.

    Args:
        times_s: when each frame is shown, in seconds; rising.
        cuts: the numbers of frames that begin a scene; rising.
    """
    borders = [0]
    while (border := _next_border(times_s, cuts, borders[-1])) is not None:
        borders.append(border)
    return borders


def _next_border(times_s: Sequence[float], cuts: Sequence[int], first: int) -> int | None:
    """Where the segment ends that begins at a frame; None at the end of the film."""
    begin_s, left_s = times_s[first], times_s[-1] - times_s[first]
    fitting = [
        cut
        for cut in cuts[bisect_right(cuts, first) :]
        if MIN_S <= times_s[cut] - begin_s <= MAX_S and times_s[-1] - times_s[cut] >= MIN_S
    ]
    late = [cut for cut in fitting if times_s[cut] - begin_s >= USUAL_S]
    if late:
        return late[0]
    if left_s <= MAX_S:
        return None
    if fitting:
        return fitting[-1]
    length_s = MAX_S if left_s >= MAX_S + MIN_S else left_s / 2
    forced = bisect_right(times_s, begin_s + length_s) - 1
    if times_s[forced] - begin_s < MIN_S:  # one frame is shown for very long
        forced += 1
    return forced if forced < len(times_s) else None


def _segments(
    pts: Sequence[int], borders: Sequence[int], cuts: frozenset[int]
) -> tuple[Segment, ...]:
    ends = [*borders[1:], len(pts)]
    segments = []
    for number, (first, end) in enumerate(zip(borders, ends, strict=True)):
        painted = first if first in cuts else max(0, first - LEAD_IN_FRAMES)
        read = max(0, min(painted, first) - _DECODED_BEFORE)
        segments.append(
            Segment(number, end - first, pts[first], pts[end - 1], pts[painted], pts[read])
        )
    return tuple(segments)


def part_path(folder: Path, number: int) -> Path:
    """Where the packet log of a segment is in the folder of parts."""
    return folder / f"{number:05d}.packets"


def read_part(plan: FilmPlan, number: int, folder: Path) -> PacketLog | None:
    """The packet log of a segment; None if it is missing, damaged or of other frames."""
    segment = plan.segments[number]
    try:
        log = read_log(part_path(folder, number))
    except (MediaError, OSError):
        return None
    is_fit = log.shown.frames == segment.frames
    return log if is_fit and log.shown.first_pts == segment.start_pts else None


def paint_segment(
    request: FilmRequest,
    plan: FilmPlan,
    number: int,
    folder: Path,
    *,
    painter: PainterChain | None = None,
    on_frame: Callable[[int], None] = lambda frames: None,
) -> Part:
    """Paints one segment of a film into its packet log in a folder.

    Args:
        number: of the segment.
        folder: an existing folder; the log appears in it only when it is complete.
        painter: built for this request, so that nothing is loaded again; None builds one.
        on_frame: called with the number of frames of the segment that have been encoded.

    Raises:
        StyleError: reading, painting or writing failed, or the film is another than was planned.
    """
    segment = plan.segments[number]
    with open_source(request) as source:
        info = source.info
        source.skip_to(segment.read_pts)
        painter = painter or build_painter(request.plan, info.color, in_flight=None)
        painter.prepare((info.width, info.height))
        painter.reset()
        sink = PartSink(
            part_path(folder, number),
            Path(request.out),
            info,
            start_pts=segment.start_pts,
            size=film_size(request, info),
            encoding=request.encoding,
            threads=plan.threads,
        )
        with sink:
            frames = _SegmentFrames(source, segment)
            Pipeline(frames, painter, sink).run(lambda _: on_frame(sink.frames))
            if sink.frames != segment.frames:
                raise MediaError(
                    f"{source.name} has {counted(sink.frames, 'frame')} in segment {number + 1}, "
                    f"where it had {segment.frames} when it was planned",
                    setting="source",
                )
    assert sink.log
    size_bytes = sink.log.path.stat().st_size
    return Part(number, segment.frames, size_bytes, sink.log.crc)


class _SegmentFrames:
    """The frames of a segment and of its lead-in: `Frames`."""

    def __init__(self, source: FileSource, segment: Segment) -> None:
        self._source, self._segment = source, segment

    @property
    def info(self) -> StreamInfo:
        """See `Frames`."""
        return self._source.info

    def __iter__(self) -> Iterator[Frame]:
        """See `Frames`."""
        for frame in self._source:
            if frame.pts > self._segment.last_pts:
                frame.release()
                return
            if frame.pts < self._segment.paint_pts:
                frame.release()
                continue
            yield frame


def join_film(plan: FilmPlan, folder: Path, sink: FileSink) -> None:
    """Writes all parts of a film, one after the other, into a sink that nothing was written to.

    Leaving the sink's context completes the film, with all other streams of its source.

    Args:
        sink: opened for the same request, with the plan's number of threads.

    Raises:
        MediaError: a part is missing or damaged, or the film cannot be written.
    """
    logs = []
    for segment in plan.segments:
        log = read_part(plan, segment.number, folder)
        if log is None:
            raise MediaError(f"{part_path(folder, segment.number)} is missing or damaged")
        logs.append(log)
    sink.join(joined_packets(logs), joined_shown([log.shown for log in logs]))


def joined_shown(shown: Sequence[Shown]) -> Shown:
    """What consecutive segments show together."""
    return replace(
        shown[-1], frames=sum(each.frames for each in shown), first_pts=shown[0].first_pts
    )
