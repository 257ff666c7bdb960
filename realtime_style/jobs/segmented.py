"""A film that is painted segment by segment in this process, and goes on where it was ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import av

from realtime_style.errors import MediaError, StyleError
from realtime_style.jobs.parts import Manifest, PartsFolder, refuse_other
from realtime_style.jobs.pipeline import RunStats
from realtime_style.jobs.request import FilmRequest
from realtime_style.jobs.segments import (
    FilmPlan,
    join_film,
    paint_segment,
    part_path,
    plan_film,
    read_part,
)
from realtime_style.media.film_sink import FileSink
from realtime_style.painting.chain import PainterChain
from realtime_style.system.paths import ffmpeg_name
from realtime_style.wording import counted


class SegmentedFilm:
    """Paints the segments of a film that have no part yet, and joins all of them.

    Attributes:
        folder: the folder of parts.
        plan: the segments; None before they are known. Without segments the film is to be painted
            in one piece.
        finished: how many segments have been painted, by this run and by those before it.
        notes: what was found there, in sentences.
    """

    def __init__(
        self, request: FilmRequest, settings: dict[str, str], *, keeps_stopped: bool = False
    ) -> None:
        """Looks for parts of an earlier run. Only the run that may write the film does this.

        Args:
            settings: from `settings_of`.
            keeps_stopped: whether the finished segments become a film when this run is stopped.

        Raises:
            MediaError: the parts that are there belong to another job.
        """
        self._request, self._settings = request, settings
        self._keeps_stopped = keeps_stopped
        self.folder = PartsFolder(Path(request.out))
        self.plan: FilmPlan | None = None
        self.finished = 0
        self.notes: list[str] = []
        manifest = self.folder.manifest()
        if manifest:
            refuse_other(self.folder, manifest, settings)
            self.plan = manifest.plan
            self.folder.remove_stale()
            self._look_at_parts(self.plan)

    def prepare(self, on_frame: Callable[[int], None] = lambda frames: None) -> bool:
        """Plans the film, unless an earlier run has; whether it is painted in segments."""
        if self.plan is None:
            self.plan = plan_film(self._request, on_frame)
            if self.plan.segments:
                manifest = Manifest(self._request.source, self._settings, self.plan)
                self.folder.store(manifest)
        return bool(self.plan.segments)

    def _look_at_parts(self, plan: FilmPlan) -> None:
        """Counts the parts that can be used, and removes those that are damaged."""
        for segment in plan.segments:
            path = part_path(self.folder.path, segment.number)
            if read_part(plan, segment.number, self.folder.path):
                self.finished += 1
            elif path.exists():
                path.unlink()
                self.notes.append(f"{path} is damaged: that segment is painted again")
        self.notes.append(f"resumed: {self.finished} of {counted(len(plan.segments), 'segment')}")

    def run(
        self, painter: PainterChain, sink: FileSink, on_frame: Callable[[RunStats], None]
    ) -> RunStats:
        """Paints what is missing, and writes all of it into a sink.

        Raises:
            StyleError: reading, painting or writing failed; the message says what is kept.
            KeyboardInterrupt: passed on.
        """
        assert self.plan
        stats, begin = RunStats(), time.perf_counter()
        missing = []
        for segment in self.plan.segments:
            if part_path(self.folder.path, segment.number).exists():
                stats.resumed += segment.frames
            else:
                missing.append(segment)
        stats.frames = stats.resumed

        def count(before: int, frames: int) -> None:
            stats.frames, stats.wall_s = before + frames, time.perf_counter() - begin
            on_frame(stats)

        try:
            for segment in missing:
                before = stats.frames
                paint_segment(
                    self._request,
                    self.plan,
                    segment.number,
                    self.folder.path,
                    painter=painter,
                    on_frame=lambda frames, before=before: count(before, frames),  # type: ignore[misc]
                )
                stats.frames = before + segment.frames
                self.finished += 1
            join_film(self.plan, self.folder.path, sink)
        except KeyboardInterrupt:
            if self._keeps_stopped:
                self._join_finished(self.plan, sink)
            raise
        except StyleError as error:
            message = f"{error}; {self.kept}" if self.finished else str(error)
            raise type(error)(message, setting=error.setting) from error
        stats.wall_s = time.perf_counter() - begin
        return stats

    @property
    def is_planned(self) -> bool:
        """Whether the film is known to have segments."""
        return self.plan is not None and bool(self.plan.segments)

    @property
    def kept(self) -> str:
        """What is finished, and how it goes on, in words."""
        assert self.plan
        segments = counted(len(self.plan.segments), "segment")
        kept = f"{self.finished} of {segments} are kept in {self.folder.path}"
        return f"{kept}: the same command goes on"

    def _join_finished(self, plan: FilmPlan, sink: FileSink) -> None:
        """Writes the segments up to the first one that is missing."""
        first = 0
        while first < len(plan.segments) and read_part(plan, first, self.folder.path):
            first += 1
        if first:
            begun = FilmPlan(plan.segments[:first], plan.threads, plan.notes)
            join_film(begun, self.folder.path, sink)

    def complete(self, film: Path) -> None:
        """Counts the frames of the finished film, and removes the parts.

        Raises:
            MediaError: frames are missing; the parts are kept.
        """
        assert self.plan
        try:
            found = _frames_in(film)
        except (av.FFmpegError, OSError) as error:
            raise MediaError(f"{film} cannot be read again; {self.kept}") from error
        if found < self.plan.frames:  # VP8 also has packets that are not shown
            raise MediaError(
                f"{film} has {counted(found, 'frame')} instead of {self.plan.frames}; {self.kept}"
            )
        self.folder.remove()


def _frames_in(film: Path) -> int:
    """How many pictures a film holds, without decoding them. Raises av.FFmpegError, OSError."""
    with av.open(ffmpeg_name(film), "r") as container:
        stream = container.streams.best("video")
        return sum(packet.size > 0 for packet in container.demux(stream)) if stream else 0
