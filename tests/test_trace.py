"""A trace of a job: one track a stage, in the format that Perfetto reads."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from conftest import make_film, run_cli

from realtime_style.jobs.execution import Execution
from realtime_style.jobs.film import FilmRequest, open_film
from realtime_style.jobs.trace import Trace
from realtime_style.painting.plan import PaintPlan

FRAMES = 8


def events_of(text: str) -> dict[tuple[str, str], list[dict[str, float]]]:
    """The events of a trace by stage and name."""
    events = json.loads(text)["traceEvents"]
    tracks = {each["tid"]: each["args"]["name"] for each in events if each["ph"] == "M"}
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for each in events:
        if each["ph"] == "X":
            assert each["cat"] == tracks[each["tid"]]
            found.setdefault((each["cat"], each["name"]), []).append(each)
    return found


def test_every_frame_has_its_spans_in_every_stage(tmp_path: Path, identity_style: Path) -> None:
    film = make_film(tmp_path / "film.mp4", pts=range(FRAMES))
    trace = Trace()
    request = FilmRequest(str(film), str(tmp_path / "out.mp4"), PaintPlan(str(identity_style)))
    with open_film(request, Execution(trace=trace)) as job:
        stats = job.run().stats
    found = events_of(trace.as_json())
    for stage in (
        ("read", "wait for room"),
        ("paint", "begin"),
        ("paint", "finish"),
        ("write", "encode"),
    ):
        assert len(found[stage]) == FRAMES
    assert len(found["read", "decode"]) == FRAMES + 1  # the last finds that there are no more
    assert len(found["write", "wait for a frame"]) == FRAMES + 1
    for total_s, names in (
        (stats.read_s, [("read", "decode")]),
        (stats.paint_s, [("paint", "begin"), ("paint", "finish")]),
        (stats.write_s, [("write", "encode")]),
    ):
        spans = [span for name in names for span in found[name]]
        assert sum(span["dur"] for span in spans) / 1e6 == pytest.approx(
            total_s, rel=0.05, abs=0.002
        )


def test_spans_of_a_stage_follow_each_other(tmp_path: Path, identity_style: Path) -> None:
    film, file = make_film(tmp_path / "film.mp4", pts=range(FRAMES)), tmp_path / "trace.json"
    done = run_cli("video", film, tmp_path / "out.mp4", "--style", identity_style, "--trace", file)
    assert done.returncode == 0
    for stage in ("read", "paint", "write"):
        spans = sorted(
            (span["ts"], span["ts"] + span["dur"])
            for (of, _), group in events_of(file.read_text()).items() if of == stage
            for span in group
        )  # fmt: skip
        assert all(end <= begin + 0.2 for (_, end), (begin, _) in pairwise(spans))
        assert spans[0][0] >= 0


def test_a_trace_that_cannot_be_is_refused_before_anything_is_painted(
    tmp_path: Path, identity_style: Path
) -> None:
    film, out, file = make_film(tmp_path / "film.mp4"), tmp_path / "out.mp4", tmp_path / "t.json"
    file.write_text("mine")
    for arguments, status, said in (
        ((film, out, "--trace", file), 1, "t.json exists already"),
        ((film, out, "--trace", film, "--overwrite"), 2, "film.mp4 is the film"),
        ((film, out, "--trace", tmp_path / "no" / "t.json"), 1, "folder"),
        ((film, film, f"{tmp_path}/all/", "--trace", file), 2, "a trace is of one film"),
        ((film, f"{tmp_path}/all/", "--sample", "2", "--trace", file), 2, "a trace is of one film"),
    ):
        done = run_cli("video", *arguments, "--style", identity_style)
        assert (done.returncode, said in done.stderr) == (status, True), done.stderr
    assert file.read_text() == "mine"
    assert not out.exists()


def test_a_stopped_film_has_a_trace_too(
    tmp_path: Path, identity_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from realtime_style.media.film_sink import FileSink

    write = FileSink.write

    def stop_at_third(sink: FileSink, frame: object) -> None:
        if sink.frames == 2:
            raise KeyboardInterrupt
        write(sink, frame)  # type: ignore[arg-type]

    monkeypatch.setattr(FileSink, "write", stop_at_third)
    film, file = make_film(tmp_path / "film.mp4", pts=range(FRAMES)), tmp_path / "trace.json"
    done = run_cli("video", film, tmp_path / "out.mp4", "--style", identity_style, "--trace", file)
    assert done.returncode == 130
    assert len(events_of(file.read_text())["write", "encode"]) == 3
