"""Signals while a film is being completed, and after it."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import make_film, run_cli, times_of
from PIL import Image

from realtime_style.cli import console
from realtime_style.jobs.pipeline import Pipeline
from realtime_style.media.encoder import Encoder
from realtime_style.media.muxer import Muxer
from realtime_style.system import interrupts

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")

SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.fixture(autouse=True)
def _installed() -> Iterator[None]:
    """The handlers of the program; afterwards the former ones, and no signal has come."""
    former = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    for number in former:  # under nohup, SIGHUP would stay ignored
        signal.signal(number, signal.SIG_DFL)
    interrupts.install()
    yield
    for number, handler in former.items():
        signal.signal(number, handler)
    interrupts._came = False


@pytest.mark.parametrize("number", interrupts.SIGNALS)
@pytest.mark.parametrize(
    "command", ["video film.mp4 out.mp4", "image a.png b.png", "compare a.png b.png"]
)
def test_the_exit_status_says_which_signal_ended_a_command(
    tmp_path: Path,
    film: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    command: str,
) -> None:
    def stop(*arguments: object, **more: object) -> None:
        signal.raise_signal(number)

    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    monkeypatch.setattr("realtime_style.style.look.Look.mixed", stop)
    done = run_cli(*command.split(), cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (128 + number, "stopped")


def raised_while_closing(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals, times: int = 1
) -> None:
    close = Muxer.close

    def slow(muxer: Muxer) -> None:
        for _ in range(times):
            signal.raise_signal(number)
        close(muxer)
        signal.raise_signal(number)

    monkeypatch.setattr(Muxer, "close", slow)


def raised_in_painting(monkeypatch: pytest.MonkeyPatch, number: signal.Signals) -> None:
    """A signal after the last frame, which stops the film."""
    run = Pipeline.run

    def stopped(pipeline: Pipeline, *arguments: object) -> object:  # type: ignore[type-arg]
        run(pipeline, *arguments)  # type: ignore[arg-type]
        signal.raise_signal(number)
        pytest.fail("it was not interrupted")

    monkeypatch.setattr(Pipeline, "run", stopped)


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("name", ["out.mp4", "out_%02d.png", "out.webp"])
def test_a_film_that_is_being_completed_is_finished(
    tmp_path: Path,
    film: Path,
    identity_style: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    name: str,
) -> None:
    raised_while_closing(monkeypatch, number)
    out = tmp_path / "out" / name
    out.parent.mkdir()
    done = run_cli("video", film, out, "-s", identity_style, "--json")
    assert done.returncode == 0
    assert "stopped" not in done.stderr
    assert f"{out}: 10 frames in" in done.stderr
    assert json.loads(done.stdout)["out"] == str(out)
    assert len(list(out.parent.iterdir())) == (10 if name.endswith(".png") else 1)
    if name.endswith(".mp4"):
        assert len(times_of(out)) == 10


def test_the_film_after_it_is_not_begun(
    tmp_path: Path, identity_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    films = [make_film(tmp_path / f"{name}.mp4", pts=range(3), sound=None) for name in "ab"]
    raised_while_closing(monkeypatch, signal.SIGTERM)
    done = run_cli("video", *films, tmp_path / "out/", "-s", identity_style, "--json")
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr.endswith("stopped; painted: 1 of 2\n")
    report = json.loads(done.stdout)
    assert [painted["out"] for painted in report["painted"]] == [str(tmp_path / "out" / "a.mp4")]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("number", SIGNALS)
def test_a_stopped_film_is_kept_however_often_it_is_stopped(
    tmp_path: Path,
    film: Path,
    identity_style: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    raised_in_painting(monkeypatch, number)
    raised_while_closing(monkeypatch, number, times=3)
    done = run_cli("video", film, tmp_path / "out.mp4", "-s", identity_style, "-q", "--json")
    kept = tmp_path / "out.stopped.mp4"
    assert done.returncode == 128 + number
    assert done.stderr == (
        f"stopped; {tmp_path / 'out.mp4'} was not written; frames kept in {kept}: 10\n"
    )
    assert json.loads(done.stdout) == {
        "stopped": str(tmp_path / "out.mp4"), "kept": str(kept), "frames": 10,
    }  # fmt: skip
    assert len(times_of(kept)) == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mp4", "out.stopped.mp4"]


def test_a_second_signal_while_the_encoder_is_emptied_keeps_what_is_in_the_file(
    tmp_path: Path, film: Path, identity_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised_in_painting(monkeypatch, signal.SIGINT)
    flush = Encoder.flush

    def slow(encoder: Encoder) -> Iterator[object]:
        for number, packets in enumerate(flush(encoder)):
            yield packets
            if number == 3:
                signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(Encoder, "flush", slow)
    done = run_cli("video", film, tmp_path / "out.mkv", "-s", identity_style, "-q")
    kept = len(times_of(tmp_path / "out.stopped.mkv"))
    assert 0 < kept <= 10
    assert done.stderr.endswith(f"frames kept in {tmp_path / 'out.stopped.mkv'}: {kept}\n")


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_after_the_end_changes_nothing(
    tmp_path: Path,
    film: Path,
    identity_style: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
) -> None:
    printed = console.print_line

    def late(message: str) -> None:
        if message.startswith(str(tmp_path / "out.mp4")):
            signal.raise_signal(number)
        printed(message)

    monkeypatch.setattr(console, "print_line", late)
    done = run_cli("video", film, tmp_path / "out.mp4", "-s", identity_style, "--json")
    assert done.returncode == 0
    assert "stopped" not in done.stderr
    assert json.loads(done.stdout)["frames"] == 10
    assert len(times_of(tmp_path / "out.mp4")) == 10


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("place", ["start", "discard"])
def test_signals_while_a_film_is_begun_or_undone_leave_nothing(
    tmp_path: Path,
    film: Path,
    identity_style: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    place: str,
) -> None:
    begin = Muxer.start
    discard = Muxer.discard

    def interrupted_start(muxer: Muxer) -> None:
        begin(muxer)
        signal.raise_signal(number)
        signal.raise_signal(number)

    def interrupted_discard(muxer: Muxer) -> None:
        signal.raise_signal(number)
        discard(muxer)

    monkeypatch.setattr(Muxer, "start", interrupted_start)
    if place == "discard":
        monkeypatch.setattr(Muxer, "discard", interrupted_discard)
    done = run_cli("video", film, tmp_path / "out.mp4", "-s", identity_style, "-q")
    assert done.returncode == 128 + number
    assert "stopped" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]
