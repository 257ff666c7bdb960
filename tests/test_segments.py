"""Films painted in segments: the plan, the parts, the join, and what a killed job goes on from."""

from __future__ import annotations

import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from realtime_style.errors import EngineError, MediaError
from realtime_style.frame import Frame
from realtime_style.jobs import borders, planning, segments
from realtime_style.jobs.borders import BorderFinder, find_borders
from realtime_style.jobs.execution import Execution
from realtime_style.jobs.film import FilmRequest, open_film
from realtime_style.jobs.parts import PartsFolder
from realtime_style.jobs.planning import Planner, plan_film
from realtime_style.jobs.seam import fade
from realtime_style.jobs.segments import FilmPlan, paint_segment, part_path, read_part
from realtime_style.jobs.workers import LocalProcesses, Task
from realtime_style.media.encoding import Encoding
from realtime_style.media.film_sink import FileSink
from realtime_style.media.film_source import FileSource
from realtime_style.media.packet_log import decoding_times, joined_packets, read_log
from realtime_style.painting.plan import PaintPlan
from tests.conftest import (
    cli_command,
    make_film,
    painter_of,
    run_cli,
    sound_of,
    times_of,
)

LEAD_IN = segments.LeadIn(1, 2)
UNEVEN_PTS = [0, 2, 3, 7, 8, 20, 21, 22, *range(25, 80), *range(90, 140, 2), 170, 171, 172]


@pytest.fixture
def short_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of about a second, so that small films have several."""
    monkeypatch.setattr(borders, "MIN_S", 0.4)
    monkeypatch.setattr(borders, "USUAL_S", 0.8)
    monkeypatch.setattr(borders, "MAX_S", 1.0)
    monkeypatch.setattr(planning, "LEAD_IN_FRAMES", 6)
    monkeypatch.setattr(planning, "FADE_FRAMES", 3)


def request_of(source: Path, out: Path, style: Path, **encoding: str) -> FilmRequest:
    return FilmRequest(str(source), str(out), PaintPlan(style), encoding=Encoding(**encoding))


def paint(request: FilmRequest) -> None:
    with open_film(request) as job:
        job.run()


def hashes_of(path: Path) -> list[bytes]:
    """Each decoded frame of a film."""
    with av.open(str(path)) as film:
        return [frame.to_ndarray().tobytes() for frame in film.decode(video=0)]


@pytest.mark.parametrize("seed", range(40))
def test_borders_divide_any_film(seed: int) -> None:
    rng = random.Random(seed)
    step_s = rng.choice((1 / 60, 1 / 25, 0.3))
    times_s = [0.0]
    for _ in range(rng.randrange(1, 6000)):
        times_s.append(times_s[-1] + step_s * rng.choice((1, 1, 1, 2, 5)))
    cuts = sorted(rng.sample(range(len(times_s)), rng.randrange(min(40, len(times_s)))))
    found = find_borders(times_s, cuts)
    assert found[0] == 0
    assert found == sorted(set(found))
    ends_s = [*(times_s[border] for border in found[1:]), times_s[-1]]
    for border, end_s in zip(found, ends_s, strict=True):
        length_s = end_s - times_s[border]
        assert length_s <= borders.MAX_S + 1e-9
        if len(found) > 1:
            assert length_s >= borders.MIN_S - 5 * step_s


@pytest.mark.parametrize("seed", range(10))
def test_borders_found_early_are_those_of_the_whole_film(seed: int) -> None:
    """What is found is what a film that ends later has, too, and it is found soon."""
    rng = random.Random(seed)
    times_s = [i / 5 for i in range(2000)]
    cuts = sorted(rng.sample(range(2000), 30))
    whole = find_borders(times_s, cuts)
    finder, early = BorderFinder(), [0]
    for number, time_s in enumerate(times_s):
        border = finder.add(time_s, is_cut=number in cuts)
        early += [] if border is None else [border]
        assert time_s - times_s[early[-1]] <= borders.MAX_S + borders.MIN_S
    assert early == whole[: len(early)]
    assert len(early) >= len(whole) - 1


def test_segments_begin_at_cuts_where_these_come_in_time() -> None:
    times_s = [i / 10 for i in range(2000)]  # 200 s
    assert find_borders(times_s, [30, 150, 260, 900, 1990]) == [0, 260, 860, 1460]
    assert find_borders(times_s, [30, 150]) == [0, 150, 750, 1350, 1674]


def test_decoding_times_rise_over_seams_and_stay_before_showing() -> None:
    uneven = [(0, -2), (9, -1), (3, 0), (10, 8), (40, 9), (20, 10)]
    dts = decoding_times(uneven)
    assert dts == sorted(set(dts))
    assert all(when <= pts for when, (pts, _) in zip(dts, uneven, strict=True))
    even = [(0, -1), (2, 0), (1, 1)]
    assert decoding_times(even) == [-1, 0, 1]


def test_values_travel(film: Path, tmp_path: Path, identity_style: Path) -> None:
    plan = FilmPlan((segments.Segment(0, 5, 0, 4, LEAD_IN, 3, LEAD_IN),), 2, True, ("a note",), 0.5)
    assert FilmPlan.from_dict(json.loads(json.dumps(plan.as_dict()))) == plan
    assert pickle.loads(pickle.dumps(plan)) == plan
    request = request_of(film, tmp_path / "out.mp4", identity_style)
    assert pickle.loads(pickle.dumps(request)) == request


def test_a_short_film_is_in_one_piece(film: Path, tmp_path: Path, identity_style: Path) -> None:
    request = request_of(film, tmp_path / "out.mp4", identity_style)
    paint(request)
    assert not PartsFolder(tmp_path / "out.mp4").path.exists()


@pytest.mark.parametrize(
    ("ending", "codec"),
    [
        (".mp4", "libx264"),
        (".mkv", "libx265"),
        (".webm", "vp9"),
        (".mp4", "av1"),
        (".mov", "prores"),
        (".mkv", "ffv1"),
        (".ts", "h264"),
    ],
)
@pytest.mark.usefixtures("short_segments")
def test_joined_films_are_their_parts(
    ending: str, codec: str, tmp_path: Path, identity_style: Path
) -> None:
    source = make_film(tmp_path / "in.mkv", size=(96, 80), pts=UNEVEN_PTS)
    request = request_of(source, tmp_path / f"out{ending}", identity_style, codec=codec)
    plan = plan_film(request, 2)
    assert len(plan.segments) >= 5
    assert plan.frames == len(UNEVEN_PTS)
    paint(request)
    out = Path(request.out)
    assert not PartsFolder(out).path.exists()
    joined = hashes_of(out)
    assert len(joined) == len(UNEVEN_PTS)
    (folder := tmp_path / "again").mkdir()
    painter = painter_of(identity_style, stability=0.5)
    for segment in plan.segments:
        paint_segment(request, segment, folder, threads=plan.threads, painter=painter)
    alone = [frames_of_part(request, plan, folder, segment) for segment in plan.segments]
    assert joined == [frame for frames in alone for frame in frames]
    begin = times_of(out)[0]
    shown = [float(at - begin) for at in times_of(out)]
    assert shown == pytest.approx([at / 25 for at in UNEVEN_PTS], abs=0.0011)


def frames_of_part(
    request: FilmRequest, plan: FilmPlan, folder: Path, segment: segments.Segment
) -> list[bytes]:
    """The frames of one part, written as a film of its own."""
    out = Path(request.out)
    suffix = ".mkv" if out.suffix == ".ts" else out.suffix  # FFmpeg reads no .ts of a few frames
    alone = out.with_name(f"part{segment.number}{suffix}")
    with (
        FileSource(request.source) as source,
        FileSink(alone, source.info, encoding=request.encoding, threads=plan.threads) as sink,
    ):
        log = read_log(part_path(folder, segment.number))
        sink.join(joined_packets([log]), log.shown)
    return hashes_of(alone)


@pytest.mark.usefixtures("short_segments")
def test_bytes_are_the_same_whatever_was_painted_before(
    tmp_path: Path, identity_style: Path
) -> None:
    source = make_film(tmp_path / "in.mp4", size=(96, 80), pts=range(80))
    request = request_of(source, tmp_path / "out.mp4", identity_style)
    paint(request)
    whole = Path(request.out).read_bytes()
    assert sound_of(Path(request.out)) == sound_of(source)
    Path(request.out).unlink()
    with pytest.raises(KeyboardInterrupt), open_film(request) as job:
        job.run(_StopAt(45))
    folder = PartsFolder(Path(request.out))
    kept = {path.name: path.stat().st_mtime_ns for path in folder.path.glob("*.packets")}
    assert len(kept) == 1 or len(kept) == 2
    assert not Path(request.out).exists()
    with open_film(request) as job:
        report = job.run()
    assert report.stats.resumed > 0
    assert any(note.startswith(f"resumed: {len(kept)} of") for note in report.notes)
    assert Path(request.out).read_bytes() == whole
    assert not folder.path.exists()


class _StopAt:
    """A `FilmObserver` that stops a job after some frames."""

    def __init__(self, frames: int, error: BaseException | None = None) -> None:
        self._frames, self._error = frames, error or KeyboardInterrupt()

    def on_build(self, part: float) -> None: ...

    def on_plan(self, frames: int) -> None: ...

    def on_frame(self, stats: object) -> None:
        if stats.frames >= self._frames:  # type: ignore[attr-defined]
            raise self._error


@pytest.fixture
def begun(
    short_segments: None, tmp_path: Path, identity_style: Path
) -> tuple[FilmRequest, FilmPlan]:
    """A film that was stopped in its third segment."""
    source = make_film(tmp_path / "in.mp4", size=(96, 80), pts=range(80))
    request = request_of(source, tmp_path / "out.mp4", identity_style)
    with pytest.raises(KeyboardInterrupt), open_film(request) as job:
        job.run(_StopAt(60))
    manifest = PartsFolder(Path(request.out)).manifest()
    assert manifest
    assert read_part(manifest.plan.segments[1], PartsFolder(Path(request.out)).path)
    return request, manifest.plan


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_cut, _flip, Path.unlink])
def test_only_a_damaged_part_is_painted_again(
    damage: Callable[[Path], object], begun: tuple[FilmRequest, FilmPlan]
) -> None:
    request, plan = begun
    folder = PartsFolder(Path(request.out)).path
    damage(part_path(folder, 0))
    with open_film(request) as job:
        report = job.run()
    assert report.stats.resumed == plan.segments[1].frames
    told = [note for note in report.notes if "is damaged: that segment" in note]
    assert len(told) == (damage is not Path.unlink)
    assert len(times_of(Path(request.out))) == 80


def test_other_settings_and_a_changed_film_are_refused(
    begun: tuple[FilmRequest, FilmPlan], tmp_path: Path
) -> None:
    request, _ = begun
    folder = PartsFolder(Path(request.out)).path
    other = request_of(
        Path(request.source), Path(request.out), request.plan.look.style, preset="ultrafast"
    )  # type: ignore[arg-type]
    with pytest.raises(MediaError, match="preset was None, and is ultrafast now"):
        open_film(other)
    os.utime(request.source, (1, 1))
    with pytest.raises(MediaError, match="the film has changed") as caught:
        open_film(request)
    assert caught.value.setting == "restart"
    assert part_path(folder, 0).exists()
    with open_film(request, Execution(restart=True)) as job:
        assert job.run().stats.resumed == 0
    assert not folder.exists()


def test_a_job_that_lacks_only_its_join_paints_nothing(
    begun: tuple[FilmRequest, FilmPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    request, plan = begun
    folder = PartsFolder(Path(request.out)).path
    for segment in plan.segments:
        paint_segment(request, segment, folder, threads=plan.threads)
    monkeypatch.setattr("realtime_style.jobs.workers.paint_segment", None)
    with open_film(request) as job:
        assert job.run().stats.resumed == 80


def test_a_full_disk_costs_one_part(
    begun: tuple[FilmRequest, FilmPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    request, plan = begun
    full = OSError(28, "No space left on device")
    with monkeypatch.context() as patch:

        def fail(*_: object) -> None:
            raise full

        patch.setattr("realtime_style.media.packet_log.LogWriter.complete", fail)
        with (
            pytest.raises(MediaError, match="No space left on device; 2 of 4 segments are kept"),
            open_film(request) as job,
        ):
            job.run()
    folder = PartsFolder(Path(request.out)).path
    assert sorted(path.name for path in folder.iterdir()) == [
        "00000.packets",
        "00001.packets",
        "manifest.json",
    ]
    paint(request)
    assert len(times_of(Path(request.out))) == plan.frames


def test_stopped_films_are_kept_on_request(begun: tuple[FilmRequest, FilmPlan]) -> None:
    request, plan = begun
    with (
        pytest.raises(KeyboardInterrupt),
        open_film(request, Execution(keeps_stopped=True)) as job,
    ):
        job.run(_StopAt(60))
    stopped = Path(request.out).with_name("out.stopped.mp4")
    assert 60 <= len(times_of(stopped)) <= 66  # some were in flight
    assert plan.segments[0].frames + plan.segments[1].frames < 60
    assert PartsFolder(Path(request.out)).path.exists()


def test_files_of_others_are_left_alone(
    begun: tuple[FilmRequest, FilmPlan], tmp_path: Path
) -> None:
    request, _ = begun
    folder = PartsFolder(Path(request.out)).path
    (folder / "mine.txt").write_text("mine")
    paint(request)
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
    with pytest.raises(MediaError, match="is not a folder of finished segments"):
        open_film(FilmRequest(request.source, request.out, request.plan, overwrite=True))


def test_jobs_are_listed_and_removed(begun: tuple[FilmRequest, FilmPlan], tmp_path: Path) -> None:
    request, _ = begun
    listed = run_cli("jobs", "list", tmp_path)
    assert listed.returncode == 0
    assert f"{request.out}: 2 of 4 segments of {request.source}" in listed.stdout + listed.stderr
    assert run_cli("jobs", "clean", tmp_path).returncode == 0
    assert not PartsFolder(Path(request.out)).path.exists()


@pytest.mark.slow
def test_a_killed_command_goes_on(tmp_path: Path, identity_style: Path) -> None:
    source = make_film(
        tmp_path / "in.mp4", size=(64, 48), pts=range(700), rate=Fraction(5),
        time_base=Fraction(1, 5), sound=None,
    )  # fmt: skip
    out, whole = tmp_path / "out.mp4", tmp_path / "whole.mp4"
    command = ["video", source, whole, "--style", identity_style]
    assert run_cli(*command).returncode == 0
    command[2] = out
    folder = PartsFolder(out).path
    for painted in range(1, 4):
        with subprocess.Popen(cli_command(*command), stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and len(list(folder.glob("*.packets"))) < painted:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
    assert {path.name for path in folder.glob("*.packets")} >= {"00000.packets"} or out.exists()
    if not out.exists():
        done = run_cli(*command)
        assert done.returncode == 0
        assert "resumed: " in done.stderr + done.stdout
    assert out.read_bytes() == whole.read_bytes()


def test_forced_borders_are_painted_after_their_lead_in(
    short_segments: None, tmp_path: Path, identity_style: Path
) -> None:
    source = make_film(tmp_path / "in.mp4", size=(96, 80), pts=range(80))
    plan = plan_film(request_of(source, tmp_path / "out.mp4", identity_style), 2)
    step = 512  # ticks of MP4 at 25 fps
    forced = [s for s in plan.segments[1:] if s.start_pts != s.lead_in.paint_pts]
    assert forced
    assert all(s.lead_in.paint_pts == s.start_pts - 6 * step for s in forced)
    assert all(s.lead_in.read_pts == max(0, s.lead_in.paint_pts - 16 * step) for s in plan.segments)


def test_a_painter_forgets_what_it_painted_before(
    begun: tuple[FilmRequest, FilmPlan], identity_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, plan = begun
    painter = painter_of(identity_style, stability=0.5)
    resets = []
    reset = painter.reset
    monkeypatch.setattr(painter, "reset", lambda: (resets.append(1), reset()))
    folder = PartsFolder(Path(request.out)).path
    paint_segment(request, plan.segments[1], folder, threads=2, painter=painter)
    assert resets == [1]


def test_frames_fade_into_the_next_segment() -> None:
    pictures = {pts: np.full((24, 16), 200, np.uint8) for pts in (5, 6, 7)}
    shown = []
    for pts in (4, 5, 6, 7):
        frame = Frame(np.full((24, 16), 100, np.uint8), pts, Fraction(1, 25))
        fade(frame, pictures)
        shown.append(int(frame.i420[0, 0]))
    assert shown == [100, 125, 150, 175]


@pytest.mark.usefixtures("short_segments")
def test_a_segment_before_a_forced_border_fades(
    tmp_path: Path, identity_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_film(tmp_path / "in.mp4", size=(96, 80), pts=range(80))
    request = request_of(source, tmp_path / "out.mkv", identity_style, codec="ffv1")
    plan = plan_film(request, 2)
    first = next(each for each in plan.segments if each.fade_pts is not None)
    after, step = plan.segments[first.number + 1], 512
    assert first.fade_pts == first.last_pts - 2 * step
    assert first.next_lead_in == after.lead_in
    assert after.lead_in.paint_pts < after.start_pts
    assert plan.segments[-1].fade_pts is None  # the film ends
    seen: list[dict[int, object]] = []
    monkeypatch.setattr(segments, "fade", lambda frame, pictures: seen.append(pictures))
    paint_segment(request, first, tmp_path, threads=2)
    assert len(seen) == first.frames
    assert list(seen[-1]) == [first.last_pts - 2 * step, first.last_pts - step, first.last_pts]


def film_with_a_cut(path: Path, frames: int, cut: int) -> Path:
    """Two scenes in which nothing moves."""
    scenes = np.random.default_rng(0).integers(60, 200, (2, 10, 12), np.uint8).repeat(8, 1)
    with av.open(str(path), "w") as film:
        stream = film.add_stream("libx264", rate=25, width=96, height=80, pix_fmt="yuv420p")
        for number in range(frames):
            luma = scenes[int(number >= cut)].repeat(8, 1)
            planes = np.concatenate((luma, np.full((40, 96), 128, np.uint8)))
            film.mux(stream.encode(av.VideoFrame.from_ndarray(planes, "yuv420p")))
        film.mux(stream.encode(None))
    return path


@pytest.mark.usefixtures("short_segments")
def test_no_segment_fades_into_a_cut(tmp_path: Path, identity_style: Path) -> None:
    source = film_with_a_cut(tmp_path / "in.mp4", frames=60, cut=22)
    plan = plan_film(request_of(source, tmp_path / "out.mp4", identity_style), 2)
    assert plan.segments[0].frames == 22
    assert plan.segments[0].fade_pts is None
    assert plan.segments[1].lead_in.paint_pts == plan.segments[1].start_pts


def test_a_second_run_of_the_same_film_is_refused(begun: tuple[FilmRequest, FilmPlan]) -> None:
    request, _ = begun
    with open_film(request) as job:
        with pytest.raises(MediaError, match="is being written by another run"):
            open_film(request)
        job.run()
    assert len(times_of(Path(request.out))) == 80


def test_a_whole_film_is_compared_on_request(begun: tuple[FilmRequest, FilmPlan]) -> None:
    request, _ = begun
    verifying = Execution(verifies=True)
    with pytest.raises(MediaError, match="was begun without looking at the whole film") as caught:
        open_film(request, verifying)
    assert caught.value.setting == "verifies"
    again = Execution(restart=True, verifies=True)
    with pytest.raises(KeyboardInterrupt), open_film(request, again) as job:
        job.run(_StopAt(60))
    with open_film(request, verifying) as job:
        assert job.run().stats.resumed > 0


def test_a_film_that_was_not_planned_to_its_end_is_planned_again(
    begun: tuple[FilmRequest, FilmPlan],
) -> None:
    request, plan = begun
    folder = PartsFolder(Path(request.out))
    manifest = folder.manifest()
    assert manifest
    folder.store(replace(manifest, plan=FilmPlan((), plan.threads, is_whole=False)))
    with open_film(request) as job:
        report = job.run()
    assert report.stats.resumed == plan.segments[0].frames + plan.segments[1].frames
    assert "resumed: 2 segments" in report.notes
    assert len(times_of(Path(request.out))) == 80


def test_an_error_of_planning_ends_the_job(
    begun: tuple[FilmRequest, FilmPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    request, _ = begun

    def fail(planner: Planner) -> None:
        raise MediaError("in.mp4 cannot be read")

    monkeypatch.setattr(Planner, "segments", fail)
    again = Execution(restart=True)
    with (
        pytest.raises(MediaError, match="cannot be read"),
        open_film(request, again) as job,
    ):
        job.run()
    assert not Path(request.out).exists()


@pytest.mark.slow
def test_several_processes_paint_the_film_of_one(tmp_path: Path, identity_style: Path) -> None:
    source = make_film(
        tmp_path / "in.mp4", size=(64, 48), pts=range(700), rate=Fraction(5),
        time_base=Fraction(1, 5), sound=None,
    )  # fmt: skip
    one = request_of(source, tmp_path / "one.mp4", identity_style)
    paint(one)
    two = request_of(source, tmp_path / "two.mp4", identity_style)
    frames: list[int] = []
    with open_film(two, Execution(processes=2)) as job:
        report = job.run(_Counts(frames))
    assert report.stats.frames == 700
    assert max(frames) <= 700
    assert Path(two.out).read_bytes() == Path(one.out).read_bytes()


class _Counts:
    """A `FilmObserver` that notes how many frames are done."""

    def __init__(self, frames: list[int]) -> None:
        self._frames = frames

    def on_build(self, part: float) -> None: ...

    def on_plan(self, frames: int) -> None: ...

    def on_frame(self, stats: object) -> None:
        self._frames.append(stats.frames)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_a_killed_process_is_replaced(begun: tuple[FilmRequest, FilmPlan]) -> None:
    request, plan = begun
    folder = PartsFolder(Path(request.out)).path
    tasks = [Task(request, each, folder, plan.threads) for each in plan.segments]
    killed: list[int] = []

    def kill_one(number: int, frames: int) -> None:
        if not killed:
            killed.append(number)
            os.kill(int(_children()[0]), signal.SIGKILL)

    parts = list(LocalProcesses(2).paint(iter(tasks), kill_one))
    assert killed
    assert sorted(part.number for part in parts) == [each.number for each in plan.segments]
    assert all(read_part(each, folder) for each in plan.segments)
    assert not _children()


def _children() -> list[str]:
    """Processes that paint for this one."""
    listed = subprocess.run(
        ["pgrep", "-P", str(os.getpid()), "-f", "jobs.worker"], capture_output=True, text=True
    )
    return listed.stdout.split()


def test_a_segment_whose_process_always_dies_is_told(
    begun: tuple[FilmRequest, FilmPlan], monkeypatch: pytest.MonkeyPatch
) -> None:
    request, plan = begun
    task = Task(request, plan.segments[0], PartsFolder(Path(request.out)).path, 2)
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with pytest.raises(EngineError, match=r"segment 1 has ended 3 times \(exit status 1\)"):
        list(LocalProcesses(1).paint(iter([task]), lambda number, frames: None))


def test_an_error_of_a_process_is_raised_here(begun: tuple[FilmRequest, FilmPlan]) -> None:
    request, plan = begun
    gone = replace(request, source=f"{request.source}.gone")
    task = Task(gone, plan.segments[0], PartsFolder(Path(request.out)).path, 2)
    with pytest.raises(MediaError, match="gone"):
        list(LocalProcesses(1).paint(iter([task]), lambda number, frames: None))
