"""A film that is painted segment by segment, and goes on where an earlier run has ended."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import av

from realtime_style.errors import MediaError, StyleError
from realtime_style.jobs.observer import FilmObserver
from realtime_style.jobs.parts import Manifest, PartsFolder, refuse_other
from realtime_style.jobs.pipeline import RunStats
from realtime_style.jobs.planning import Planner, Planning
from realtime_style.jobs.request import FilmRequest
from realtime_style.jobs.segments import (
    FilmPlan,
    Segment,
    is_of,
    join_film,
    part_path,
    read_part,
)
from realtime_style.jobs.workers import Task, Workers
from realtime_style.media.film_sink import FileSink
from realtime_style.media.packet_log import read_log
from realtime_style.system.paths import ffmpeg_name
from realtime_style.wording import counted


class SegmentedFilm:
    """Paints the segments of a film that have no part yet, and joins all of them.

    Attributes:
        folder: the folder of parts.
        settings: all that pictures and bytes depend on; see `settings_of`.
        plan: the segments; not whole before the film has been read to its end.
        finished: how many segments have been painted, by this run and by those before it.
        notes: what was found there, in sentences.
    """

    def __init__(
        self,
        request: FilmRequest,
        settings: dict[str, str],
        threads: int,
        *,
        keeps_stopped: bool = False,
    ) -> None:
        """Looks for parts of an earlier run. Only the run that may write the film does this.

        Args:
            settings: from `settings_of`.
            threads: how many each encoder starts, unless an earlier run has chosen.
            keeps_stopped: see `Execution`.

        Raises:
            MediaError: the parts that are there belong to another job.
        """
        self._request, self.settings = request, settings
        self._keeps_stopped = keeps_stopped
        self.folder = PartsFolder(Path(request.out))
        self.plan = FilmPlan((), threads, is_whole=False)
        self.notes: list[str] = []
        self._frames: dict[int, int] = {}  # of each segment that is finished
        self._part_bytes = 0
        manifest = self.folder.manifest()
        if manifest:
            refuse_other(self.folder, manifest, settings)
            self.plan = manifest.plan
            self._look_at_parts()

    def _look_at_parts(self) -> None:
        """Counts the parts that can be used, and removes those that are damaged."""
        self.folder.remove_stale()
        logs, damaged = self.folder.read_parts()
        for path in damaged:
            path.unlink()
            self.notes.append(f"{path} is damaged: that segment is painted again")
        for number, log in logs.items():
            self._count(number, log.shown.frames)
        of = f" of {len(self.plan.segments)}" if self.plan.is_whole else ""
        self.notes.append(f"resumed: {len(logs)}{of} {'segment' if of == ' of 1' else 'segments'}")

    def _count(self, number: int, frames: int) -> None:
        self._frames[number] = frames
        self._part_bytes += part_path(self.folder.path, number).stat().st_size

    @property
    def finished(self) -> int:
        """How many segments have been painted, by this run and by those before it."""
        return len(self._frames)

    @property
    def if_stopped(self) -> Path | None:
        """Where the beginning of a segment is logged that is stopped half-way; None: nowhere."""
        return self.folder.stopped if self._keeps_stopped else None

    def expected_bytes(self, frames: int) -> int | None:
        """How large a film of so many frames will be, by its finished segments; None too early."""
        done = sum(self._frames.values())
        return round(self._part_bytes / done * frames) if done else None

    def run(
        self, workers: Workers, sink: FileSink, observer: FilmObserver | None = None
    ) -> RunStats:
        """Paints what is missing, and writes all of it into a sink.

        Raises:
            StyleError: reading, painting or writing failed; the message says what is kept.
            KeyboardInterrupt: passed on.
        """
        begin = time.perf_counter()
        stats = RunStats(resumed=sum(self._frames.values()))
        stats.frames = stats.resumed
        begun: dict[int, int] = {}  # frames done of the segments that are being painted

        def count(number: int, frames: int) -> None:
            begun[number] = frames
            stats.frames = sum(self._frames.values()) + sum(begun.values())
            stats.wall_s = time.perf_counter() - begin
            if observer:
                observer.on_frame(stats)

        try:
            with (
                closing(self._tasks(stats, observer)) as tasks,
                closing(workers.paint(tasks, count)) as parts,
            ):
                for part in parts:
                    self._count(part.number, part.frames)
                    count(part.number, 0)
                    stats.read_s += part.stats.read_s
                    stats.paint_s += part.stats.paint_s
                    stats.write_s += part.stats.write_s
            stats.frames = sum(self._frames.values())
            join_film(self.plan, self.folder.path, sink)
        except KeyboardInterrupt:
            if self._keeps_stopped:
                self._join_finished(sink)
            raise
        except StyleError as error:
            message = f"{error}; {self.kept}" if self.finished else str(error)
            raise type(error)(message, setting=error.setting) from error
        stats.wall_s = time.perf_counter() - begin
        return stats

    def _tasks(self, stats: RunStats, observer: FilmObserver | None) -> Generator[Task]:
        """What is to be painted."""
        with closing(self._segments(observer)) as segments:
            for segment in segments:
                if not self._has_part(segment, stats):
                    yield Task(self._request, segment, self.folder.path, self.plan.threads)

    def _segments(self, observer: FilmObserver | None) -> Generator[Segment]:
        """All segments: of the plan, or as they are found."""
        if self.plan.is_whole:
            yield from self.plan.segments
            return
        self._store(self.plan)
        planner = Planner(self._request, self.plan.threads)
        planning = Planning(planner, self._store)
        try:
            yield from planning.segments(observer.on_plan if observer else lambda frames: None)
        finally:
            planning.stop()
            self.plan = planner.plan

    def _store(self, plan: FilmPlan) -> None:
        self.folder.store(Manifest(self._request.source, self.settings, plan))

    def _has_part(self, segment: Segment, stats: RunStats) -> bool:
        """Whether a segment is finished. A part of other frames does not count any more."""
        frames = self._frames.get(segment.number)
        if frames is None:
            return False
        path = part_path(self.folder.path, segment.number)
        if is_of(read_log(path), segment):
            return True
        self._part_bytes -= path.stat().st_size
        del self._frames[segment.number]
        stats.resumed -= frames
        return False

    @property
    def kept(self) -> str:
        """What is finished, and how it goes on, in words."""
        of = f" of {len(self.plan.segments)}" if self.plan.is_whole else ""
        segments = "segment is" if f"{self.finished}{of}" == "1" else "segments are"
        kept = f"{self.finished}{of} {segments} kept in {self.folder.path}"
        return f"{kept}: the same command goes on"

    def _join_finished(self, sink: FileSink) -> None:
        """Writes the segments up to the first one that is missing, and the beginning of that."""
        segments = self.plan.segments
        done = 0
        while done < len(segments) and read_part(segments[done], self.folder.path):
            done += 1
        stopped = read_log(self.folder.stopped) if self.folder.stopped.exists() else None
        if stopped and (
            done == len(segments) or stopped.shown.first_pts != segments[done].start_pts
        ):
            stopped = None
        begun = FilmPlan(segments[:done], self.plan.threads)
        join_film(begun, self.folder.path, sink, stopped)
        self.folder.stopped.unlink(missing_ok=True)

    def complete(self, film: Path) -> None:
        """Counts the frames of the finished film, and removes the parts.

        Raises:
            MediaError: frames are missing; the parts are kept.
        """
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
