"""The plan of a film: its segments, found by reading it once without painting it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from realtime_style.channel import Channel
from realtime_style.defaults import DEFAULT_STABILITY
from realtime_style.jobs import borders
from realtime_style.jobs.request import FilmRequest, open_source
from realtime_style.jobs.segments import FilmPlan, LeadIn, Segment
from realtime_style.media.film_sink import holds_segments
from realtime_style.media.film_source import FileSource
from realtime_style.painting.changes import Changes

LEAD_IN_FRAMES = 56
"""Frames before a border without a cut that are painted and not written."""

FADE_FRAMES = 16
"""Frames before such a border that fade into what comes after it."""

_DECODED_BEFORE = 16  # frames; deinterlacing compares a picture with those before it
_MOST_SEGMENTS = 1 << 30  # that wait to be painted: the plan never waits for painting
_WAIT_S = 0.2


def can_be_planned(request: FilmRequest, source: FileSource) -> bool:
    """Whether a film is painted in segments: a file that can be sought, of more than a minute.

    Pipes, addresses, numbered pictures, GIF, containers whose clock may jump or that know no times,
    and frames in GPU memory are painted in one piece.
    """
    is_long = (source.info.duration_s or 0) > borders.MAX_S
    is_fit = holds_segments(Path(request.out)) and source.can_skip
    return is_long and is_fit and request.residency != "gpu"


class Planner:
    """Reads a film once, and finds its segments as early as they can be known.

    The segments depend on the film and the request only. After a place that cannot be read there
    are no more borders: the rest of the film is one segment.
    """

    def __init__(self, request: FilmRequest, threads: int) -> None:
        """Reads nothing yet; `threads` is that of the plan."""
        self._request = request
        self._pts: list[int] = []
        self._cuts: set[int] = set()
        self._begun = 0  # frame of the segment that is being read
        self._is_cancelled = False
        self.plan = FilmPlan((), threads, is_whole=False)

    def segments(self) -> Iterator[Segment]:
        """The segments, while `plan` grows; once.

        Raises:
            MediaError: the film cannot be read.
        """
        changes = Changes(self._request.plan.stability or DEFAULT_STABILITY)
        finder = borders.BorderFinder()
        with open_source(self._request) as source:
            tick_s = float(source.info.time_base)
            for frame in source:
                if self._is_cancelled:
                    return
                changes.find(frame)
                if changes.is_cut:
                    self._cuts.add(len(self._pts))
                border = None
                if not source.lost_s:
                    border = finder.add(frame.pts * tick_s, is_cut=changes.is_cut)
                self._pts.append(frame.pts)
                frame.release()
                if border is not None:
                    yield self._segment(border)
            if not source.lost_s:
                for border in finder.end():
                    yield self._segment(border)
            if self._pts:
                yield self._segment(len(self._pts))
            segments, threads = self.plan.segments, self.plan.threads
            self.plan = FilmPlan(segments, threads, True, tuple(source.notes), source.lost_s)

    @property
    def frames(self) -> int:
        """How many frames have been read."""
        return len(self._pts)

    def cancel(self) -> None:
        """Ends `segments` before its next frame; the plan does not become whole."""
        self._is_cancelled = True

    def _segment(self, end: int) -> Segment:
        """Ends the segment that is being read before a frame; it becomes part of the plan."""
        first, self._begun = self._begun, end
        pts, number = self._pts, len(self.plan.segments)
        segment = Segment(number, end - first, pts[first], pts[end - 1], self._lead_in(first))
        if end < len(pts) and end not in self._cuts:
            fade_pts = pts[max(first, end - FADE_FRAMES)]
            segment = replace(segment, fade_pts=fade_pts, next_lead_in=self._lead_in(end))
        self.plan = FilmPlan((*self.plan.segments, segment), self.plan.threads, is_whole=False)
        return segment

    def _lead_in(self, first: int) -> LeadIn:
        """That of a segment, by its first frame."""
        painted = first if first in self._cuts else max(0, first - LEAD_IN_FRAMES)
        return LeadIn(self._pts[max(0, painted - _DECODED_BEFORE)], self._pts[painted])


def plan_film(request: FilmRequest, threads: int) -> FilmPlan:
    """The whole plan of a film; raises MediaError if the film cannot be read."""
    planner = Planner(request, threads)
    for _ in planner.segments():
        pass
    return planner.plan


class Planning:
    """A film that is planned on a thread of its own, while its first segments are painted."""

    def __init__(self, planner: Planner, on_whole: Callable[[FilmPlan], None]) -> None:
        """Begins.

        Args:
            on_whole: called on that thread with the whole plan, before iteration ends.
        """
        self._planner, self._on_whole = planner, on_whole
        self._found: Channel[Segment] = Channel(_MOST_SEGMENTS)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="plan", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            for segment in self._planner.segments():
                if not self._found.put(segment):
                    return
            self._on_whole(self._planner.plan)
        except BaseException as error:  # raised where segments are taken, whatever it is
            self._error = error
        finally:
            self._found.end()

    def segments(self, on_wait: Callable[[int], None]) -> Iterator[Segment]:
        """The segments, as they are found.

        Args:
            on_wait: called now and then with the number of frames read, while none is found.

        Raises:
            The error that ended planning, if one did.
        """
        while not self._found.is_over:
            segment = self._found.take(_WAIT_S)
            if segment is None:
                on_wait(self._planner.frames)
            else:
                yield segment
        if self._error:
            raise self._error

    def stop(self) -> None:
        """Ends planning, and waits until it has ended."""
        self._planner.cancel()
        self._found.cut()
        self._thread.join()
