from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from array import array
from fractions import Fraction
from pathlib import Path
from typing import IO

import av
import conftest
import numpy as np
import pytest
from conftest import (
    SHARED_DATA,
    add_picture,
    cli_command,
    grey,
    lumas_of,
    make_film,
    run_cli,
    sound_of,
    spawn_cli,
    times_of,
    wait_until,
)
from PIL import Image

if sys.platform != "win32":
    import fcntl
    import termios

from realtime_style import __version__, bundled_styles
from realtime_style.engines.tensorrt.cuda import gpu_trouble
from realtime_style.engines.tensorrt.plan_cache import PlanCache, PlanKey
from realtime_style.errors import EngineError, MediaError
from realtime_style.frame import Frame
from realtime_style.jobs.film import FilmRequest
from realtime_style.jobs.samples import paint_samples
from realtime_style.painting.chain import PainterChain
from realtime_style.painting.plan import PaintPlan
from realtime_style.stages import Pending
from realtime_style.style.look import Look
from realtime_style.tools import doctor

NEEDS_SIGNALS = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
NOTHING, OUT_FOLDER = {"kept": None}, {"stopped": "out/"}


def one_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, text
    assert "Traceback" not in text
    return lines[0]


def test_a_film_is_painted_with_its_sound_and_its_times(
    tmp_path: Path, film: Path, negative_style: Path
) -> None:
    out = tmp_path / "out.mp4"
    result = spawn_cli(
        "video", film, out, "--style", negative_style, "--precision", "f32", "--json"
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert report["frames"] == 10
    assert report["engine"] == "openvino"
    assert report["precision"] == "f32"
    assert report["fps"] == pytest.approx(10 / report["wall_s"], rel=0.01)
    assert set(report["stages_s"]) == {"start", "read", "stylize", "write", "finish"}
    assert 20 < report["peak_memory_mb"] < 600
    assert times_of(out) == times_of(film)
    assert sound_of(out) == sound_of(film)
    assert lumas_of(out) == pytest.approx([255 - grey(i) for i in range(10)], abs=4)
    assert "engine openvino, f32" in result.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["film.mp4", "out.mp4"]


def test_uneven_frames_and_29_97_keep_their_exact_times(
    tmp_path: Path, identity_style: Path
) -> None:
    uneven = make_film(tmp_path / "vfr.mkv", pts=(0, 7, 90, 91, 400), time_base=Fraction(1, 1000))
    ntsc = make_film(
        tmp_path / "ntsc.mp4",
        pts=[i * 1001 for i in range(8)],
        time_base=Fraction(1, 30_000),
    )
    for film, name in ((uneven, "vfr-out.mkv"), (ntsc, "ntsc-out.mp4")):
        result = run_cli("video", film, tmp_path / name, "-s", identity_style, "-q")
        assert result.returncode == 0, result.stderr
        assert result.stderr == ""
        shift = times_of(tmp_path / name)[0]  # Matroska moves the sound's priming to zero
        assert [at - shift for at in times_of(tmp_path / name)] == [
            at - times_of(film)[0] for at in times_of(film)
        ]


def test_sizes_and_parts(tmp_path: Path, film: Path, identity_style: Path) -> None:
    out = tmp_path / "out.mp4"
    result = run_cli(
        "video", film, out, "-s", identity_style, "--size", "32x24", "--output-size", "96p",
        "--start", "0.12", "--duration", "0.16", "--crf", "10", "--preset", "ultrafast", "--json",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["width"], report["height"], report["frames"]) == (32, 24, 4)
    with av.open(str(out)) as painted:
        frame = next(painted.decode(video=0))
        assert (frame.width, frame.height) == (128, 96)
    assert times_of(out) == [Fraction(i, 25) for i in range(4)]
    assert lumas_of(out) == pytest.approx([grey(i) for i in range(3, 7)], abs=3)


def test_the_size_of_a_film_is_said_before_and_at_the_end(
    tmp_path: Path, film: Path, identity_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("realtime_style.cli.film._FORECAST_S", 0)
    monkeypatch.setattr("realtime_style.media.film_sink._FRAMES_TO_EXPECT_BY", 5)
    out = tmp_path / "out.mkv"
    done = run_cli("video", film, out, "-s", identity_style, "--codec", "ffv1", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["bytes"] == out.stat().st_size
    assert report["mbit_per_s"] == pytest.approx(out.stat().st_size * 8e-6 / 0.4, rel=0.01)
    told = re.findall(r"out\.mkv will have about (\d+) kB", done.stderr)
    assert len(told) == 1
    assert 0.5 < 1000 * int(told[0]) / out.stat().st_size < 1.1
    end = rf"out\.mkv: 10 frames in .+ start-up; {-(-report['bytes'] // 1000)} kB, [\d.]+ Mbit/s\n"
    assert re.search(end, done.stderr)


@pytest.mark.parametrize(
    ("name", "size"), [("out.gif", (480, 360)), ("out.webp", (640, 480)), ("out.mkv", (800, 600))]
)
def test_animations_have_a_size_of_their_own_unless_told(
    tmp_path: Path, identity_style: Path, name: str, size: tuple[int, int]
) -> None:
    film = make_film(tmp_path / "film.mp4", size=(800, 600), pts=range(2), sound=None)
    for extra, expected in (((), size), (("--output-size", "600p"), (800, 600))):
        done = run_cli("video", film, tmp_path / name, "-y", "-s", identity_style, *extra)
        assert done.returncode == 0, done.stderr
        if name == "out.mkv":
            with av.open(str(tmp_path / name)) as painted:
                context = painted.streams.video[0].codec_context
                found = (context.width, context.height)
        else:
            with Image.open(tmp_path / name) as animation:
                found = animation.size
        assert found == expected
        noted = f"grows large, so it is written at {size[0]}x{size[1]}" in done.stderr
        assert noted == (expected != (800, 600))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["none.mp4", "out.mp4"], "there is no file none.mp4"),
        (["rubbish.mp4", "out.mp4"], "rubbish.mp4 cannot be read as a film"),
        (["film.mp4", "film.mp4"], "painted over itself"),
        (["film.mp4", "taken.mp4"], "taken.mp4 exists already"),
        (["film.mp4", "out.nonsense"], "must name a film format"),
        (["film.mp4", "none/out.mp4"], "there is no folder none"),
        (["film.mp4", "out.mp4", "-s", "manets"], "there is no style 'manets'"),
        (["film.mp4", "out.mp4", "-s", "rubbish.mp4"], "rubbish.mp4 is not a usable style"),
        (["film.mp4", "out.mp4", "--codec", "mp5"], "no video encoder 'mp5'"),
        (["film.mp4", "out.mp4", "--hwaccel", "abacus"], "unknown decoding device 'abacus'"),
        (["film.mp4", "nowhere/x/out.mp4"], "there is no folder nowhere"),
        (["film.mp4", "/dev/null/o.mp4", "-y"], "/dev/null is not a folder"),
        (["film.mp4", "out.mp4", "--start", "99"], "there is nothing at 99 s"),
    ],
)
def test_an_error_is_one_line_and_status_1(
    tmp_path: Path, film: Path, arguments: list[str], message: str
) -> None:
    (tmp_path / "rubbish.mp4").write_bytes(b"rubbish" * 1000)
    (tmp_path / "taken.mp4").write_bytes(b"precious")
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    result = run_cli("video", *arguments, cwd=tmp_path)
    assert result.returncode == 1
    assert message in one_line(result.stderr)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["video"],
        ["video", "a.mp4", "b.mp4", "--size", "huge"],
        ["video", "a.mp4", "b.mp4", "--engine", "abacus"],
        ["video", "a.mp4", "b.mp4", "--precision", "f1"],
        ["paint"],
        ["video", "--what"],
    ],
)
def test_wrong_usage_is_status_2(arguments: list[str]) -> None:
    result = run_cli(*arguments)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    if arguments[3:4] in (["--engine"], ["--precision"]):
        assert f"there is no '{arguments[4]}'; choose auto, " in result.stderr


def stopped(process: subprocess.Popen[str], how: signal.Signals = signal.SIGINT) -> tuple[str, str]:
    """Stops a command as a user does; what it printed on standard output and error."""
    process.send_signal(how)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 128 + how, stderr
    assert "Traceback" not in stderr
    assert "Fatal" not in stderr
    return stdout, stderr


def started(*arguments: str | Path, cwd: Path, **pipes: int) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | pipes
    return subprocess.Popen(cli_command(*arguments), cwd=cwd, text=True, **pipes)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def unread(pipe: IO[str]) -> int:
    """How many bytes are in a pipe."""
    count = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def noise_film(path: Path, frames: int) -> Path:
    """A film whose painting fills the buffers between encoder and file quickly."""
    random = np.random.default_rng(1)
    noise = [random.integers(0, 255, (176 * 3 // 2, 320), np.uint8) for _ in range(8)]
    with av.open(str(path), "w") as film:
        picture = add_picture(film, "rawvideo", (320, 176))
        for i in range(frames):
            film.mux(picture.encode(av.VideoFrame.from_ndarray(noise[i % 8], "yuv420p")))
        film.mux(picture.encode(None))
    return path


@pytest.mark.parametrize(
    "command",
    [
        "video gone.mp4 out.mp4", "image gone.png out.png", "demo no/out.mp4",
        "compare gone.mp4 out.png", "style-from gone.png out.onnx",
        "webcam --source gone.mp4 --no-window --record a.mkv",
        "export gone.pt out.onnx", "bench --style gone", "engine build --style gone",
    ],
)  # fmt: skip
def test_json_tells_of_an_error_too(tmp_path: Path, command: str) -> None:
    done = run_cli(*command.split(), "--json", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    (line,) = done.stdout.splitlines()
    assert f"error: {json.loads(line)['error']}" == done.stderr.splitlines()[-1]
    silent = run_cli(*command.split(), cwd=tmp_path)
    assert (silent.returncode, silent.stdout) == (1, "")


def test_a_file_may_be_called_json(tmp_path: Path) -> None:
    done = run_cli("image", "--", "--json", "out.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.slow
@NEEDS_SIGNALS
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopping_half_way_leaves_the_old_film_and_no_litter(
    tmp_path: Path, how: signal.Signals
) -> None:
    film = noise_film(tmp_path / "film.mkv", 400)
    out = tmp_path / "out.mp4"
    out.write_bytes(b"precious")
    style = next(iter(bundled_styles()))
    process = started("video", film, out, "-s", style, "-y", cwd=tmp_path)
    wait_until(lambda: size_of(tmp_path / ".out.partial.mp4") > 100_000, process)
    _, said = stopped(process, how)
    assert "out.mp4 was not written" in said
    assert said.count("stopped; ") == 1
    assert not said.endswith("stopped\n")  # it is printed once
    assert out.read_bytes() == b"precious"
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "film.mkv", "out.mp4", "out.stopped.mp4",
    ]  # fmt: skip
    assert "frames kept in" in said
    times = times_of(tmp_path / "out.stopped.mp4")
    assert 0 < len(times) < 400
    assert times == times_of(film)[: len(times)]


@pytest.mark.slow
@NEEDS_SIGNALS
@pytest.mark.parametrize(
    ("module", "status", "said"),
    [
        ("typer", -signal.SIGINT, ""),
        ("rich.console", 130, "stopped"),
        ("openvino", 130, "stopped"),
        ("onnx", 130, "stopped"),
    ],
)
def test_stopping_while_modules_are_loaded(
    tmp_path: Path, film: Path, module: str, status: int, said: str
) -> None:
    """An exception from a signal handler may crash a C++ module that is being loaded."""
    code = (
        "import os, signal, sys\n"
        "module = sys.argv[1]\n"
        "class Stopped:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == module:\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Stopped())\n"
        "from realtime_style.cli import main\n"
        "sys.argv = ['realtime-style', *sys.argv[2:]]\n"
        "main()\n"
    )
    command = [sys.executable, "-c", code, module, "video", str(film), str(tmp_path / "out.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == status
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.mp4").exists()


@pytest.mark.slow
@NEEDS_SIGNALS
@pytest.mark.parametrize("part", [0.5, 0.0001])  # of the film; less than opens it
def test_stopping_does_not_wait_for_a_source_that_gives_nothing(
    tmp_path: Path, identity_style: Path, part: float
) -> None:
    data = noise_film(tmp_path / "film.mkv", 60).read_bytes()
    process = started(
        "video", "-", "out.mkv", "-s", identity_style, "--codec", "ffv1",
        cwd=tmp_path, stdin=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin
    process.stdin.buffer.write(data[: int(part * len(data))])
    process.stdin.flush()
    wait_until(lambda: not unread(process.stdin), process)
    if part == 0.5:
        wait_until(lambda: size_of(tmp_path / ".out.partial.mkv") > 20 * 176 * 320, process)
    process.stdin, pipe = None, process.stdin  # stays open: nothing says that the film has ended
    _, said = stopped(process)
    pipe.close()
    kept = list(tmp_path.glob("out*"))
    if part < 0.5:
        assert (said.strip(), kept) == ("stopped", [])
    else:
        assert "frames kept in" in said
        assert len(times_of(tmp_path / "out.stopped.mkv")) > 10


@pytest.mark.slow
@NEEDS_SIGNALS
def test_stopping_does_not_wait_for_a_reader_that_takes_nothing(tmp_path: Path) -> None:
    film = noise_film(tmp_path / "film.mkv", 20)
    process = started("video", film, "-", "--codec", "ffv1", "-s", "mondrian", cwd=tmp_path)
    assert process.stdout
    wait_until(lambda: unread(process.stdout) > 60_000, process)  # a pipe holds 64 KiB
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    assert process.stderr
    said = process.stderr.read()
    assert "Traceback" not in said
    assert "stopped" in said


@pytest.mark.slow
@NEEDS_SIGNALS
def test_the_json_summary_after_ctrl_c_counts_the_pictures(
    tmp_path: Path, identity_style: Path
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(40):
        Image.new("RGB", (1500, 1000), (i, 90, 120)).save(photos / f"{i:02}.bmp")
    process = started("image", photos, "out/", "-s", identity_style, "--json", cwd=tmp_path)
    assert process.stderr
    while "01.bmp" not in process.stderr.readline():
        assert process.poll() is None
    stdout, stderr = stopped(process)
    report = json.loads(stdout.splitlines()[-1])
    assert len(report["painted"]) == len(list((tmp_path / "out").iterdir())) > 1
    assert report["stopped"]["kept"] is None
    assert f"stopped; painted: {len(report['painted'])} of 40" in stderr


@pytest.mark.parametrize(
    ("command", "report"),
    [
        (
            "image photos out/",
            {"painted": [], "failed": [], "stopped": NOTHING | {"stopped": "out/"}},
        ),
        ("image photos/a.png out.png", NOTHING | {"stopped": "out.png"}),
        ("image --from-noise 1 out.png", NOTHING | {"stopped": "out.png"}),
        ("video film.mp4 out.mp4", NOTHING | {"stopped": "out.mp4"}),
        ("demo out.mp4 --duration 0.5", NOTHING | {"stopped": "out.mp4"}),
    ],
)
def test_there_is_a_json_summary_even_if_nothing_was_painted(
    tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch, command: str, report: object
) -> None:
    def stop(*arguments: object, **more: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "photos").mkdir()
    for name in ("a.png", "b.png"):
        Image.new("RGB", (32, 32)).save(tmp_path / "photos" / name)
    monkeypatch.setattr("realtime_style.style.look.Look.mixed", stop)  # while styles are loaded
    run = run_cli(*command.split(), "--json", cwd=tmp_path)
    assert (run.returncode, json.loads(run.stdout)) == (130, report)
    assert run.stderr.splitlines()[-1].startswith("stopped")


@pytest.mark.slow
@NEEDS_SIGNALS
def test_the_json_summary_after_ctrl_c_names_what_is_kept(
    tmp_path: Path, identity_style: Path
) -> None:
    film, out = noise_film(tmp_path / "film.mkv", 400), "out.mp4"
    process = started(
        "video", film, out, "--json", "--preset", "medium", "-s", identity_style, cwd=tmp_path
    )
    wait_until(lambda: size_of(tmp_path / ".out.partial.mp4") > 100_000, process)
    stdout, _ = stopped(process)
    report = json.loads(stdout.splitlines()[-1])
    assert report["stopped"] == out
    assert len(times_of(tmp_path / report["kept"])) == report["frames"] > 0


@pytest.mark.slow
@NEEDS_SIGNALS
def test_ctrl_c_stops_a_film_even_if_it_was_ignored_at_the_start(
    tmp_path: Path, identity_style: Path
) -> None:
    """A script starts its background jobs with Ctrl-C ignored; nohup, with SIGHUP."""
    film = noise_film(tmp_path / "film.mkv", 400)
    code = (
        "import signal, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "sys.argv = ['realtime-style', *sys.argv[1:]]\n"
        "from realtime_style.cli import main; main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "video", film, tmp_path / "out.mkv", "-s", identity_style],
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: size_of(tmp_path / ".out.partial.mkv") > 0, process)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.3)
    _, said = stopped(process)
    assert "stopped; " in said


def test_one_picture_is_a_film_of_one_frame(tmp_path: Path, identity_style: Path) -> None:
    for ending in (".jpg", ".png"):
        picture = tmp_path / f"photo{ending}"
        Image.new("RGB", (65, 48), (200, 90, 120)).save(picture)
        out = tmp_path / f"{ending[1:]}.mp4"
        result = run_cli("video", picture, out, "-s", identity_style, "--size", "33x31")
        assert result.returncode == 0, result.stderr
        assert len(times_of(out)) == 1
        assert "33x31 becomes 32x30" in result.stderr
        assert "1 frame in" in result.stderr


@pytest.mark.parametrize(
    ("size", "options", "said"),
    [
        ((1, 1), [], "film.mkv is 1x1; the smallest picture that can be painted is 16x16"),
        ((15, 40), [], "film.mkv is 15x40; the smallest picture"),
        ((20, 100), ["--size", "20p"], "film.mkv would be painted at 4x20; the smallest picture"),
    ],
)
def test_films_that_are_too_small_are_refused_by_their_size(
    tmp_path: Path, size: tuple[int, int], options: list[str], said: str
) -> None:
    with av.open(str(tmp_path / "film.mkv"), "w") as film:
        picture = add_picture(film, "ffv1", size, "yuv444p")
        for _ in range(2):
            pixels = np.zeros((size[1], size[0], 3), np.uint8)
            film.mux(picture.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        film.mux(picture.encode(None))
    done = run_cli("video", "film.mkv", "out.mp4", *options, cwd=tmp_path)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_painter_that_fails_half_way_keeps_the_frames_so_far(
    tmp_path: Path, identity_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_film(tmp_path / "film.mp4", pts=range(60))
    begin, calls = PainterChain.begin, 0

    def failing(painter: PainterChain, frame: Frame) -> Pending[Frame]:
        nonlocal calls
        calls += 1
        if calls > 50:
            raise EngineError("the device is gone")
        return begin(painter, frame)

    monkeypatch.setattr(PainterChain, "begin", failing)
    done = run_cli("video", "film.mp4", "out.mp4", "-s", identity_style, cwd=tmp_path)
    assert done.returncode == 1
    said = re.search(
        r"error: the device is gone; frames kept in out\.stopped\.mp4: (\d+)\n", done.stderr
    )
    assert said, done.stderr
    kept = tmp_path / "out.stopped.mp4"
    assert len(times_of(kept)) == int(said[1]) > 30
    assert sound_of(kept)[-1][0] <= Fraction(int(said[1]), 25)
    assert {path.name for path in tmp_path.iterdir()} == {"film.mp4", "out.stopped.mp4"}


def test_the_first_line_says_which_colours_the_film_has(
    tmp_path: Path, identity_style: Path
) -> None:
    Image.new("RGB", (64, 48), (90, 10, 200)).save(tmp_path / "a.gif")
    done = run_cli("video", "a.gif", "out.mp4", "-s", identity_style, cwd=tmp_path)
    assert "RGB, painted as BT.601 limited" in done.stderr.splitlines()[0]


def test_many_films_one_of_them_bad(tmp_path: Path, identity_style: Path) -> None:
    folder = tmp_path / "films"
    (folder / "more").mkdir(parents=True)
    for name in ("a.mp4", "b.mkv", "more/c.mp4"):
        make_film(folder / name)
    (folder / "bad.mp4").write_bytes(b"rubbish" * 100)
    result = run_cli(
        "video", folder, tmp_path / "painted", "-r", "-s", identity_style, "--json", cwd=tmp_path
    )
    assert result.returncode == 1
    assert "bad.mp4 cannot be read as a film" in result.stderr
    assert "3 of 4 painted" in result.stderr
    report = json.loads(result.stdout.splitlines()[-1])
    assert [film["frames"] for film in report["painted"]] == [10, 10, 10]
    assert len(report["failed"]) == 1
    painted = sorted(
        p.relative_to(tmp_path).as_posix() for p in (tmp_path / "painted").rglob("*.*")
    )
    assert painted == ["painted/a.mp4", "painted/b.mkv", "painted/more/c.mp4"]


def test_samples_before_a_long_job(tmp_path: Path, film: Path, identity_style: Path) -> None:
    result = run_cli("video", film, "looks", "--sample", "3", "-s", identity_style, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert sorted(p.name for p in (tmp_path / "looks").iterdir()) == [
        f"film-identity-0{i}.png" for i in (1, 2, 3)
    ]
    folder = tmp_path / "films"
    folder.mkdir()
    film.rename(folder / film.name)
    result = run_cli("video", folder, "more", "--sample", "1", "-s", identity_style, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert [p.name for p in (tmp_path / "more").iterdir()] == ["film-identity-01.png"]


def test_samples_are_of_the_part_that_is_asked_for(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    looks = tmp_path / "looks"
    part = "--sample", 9, "--start", 0.12, "--duration", 0.16
    result = run_cli("video", film, looks, *part, "-s", identity_style)
    assert result.returncode == 0, result.stderr
    lumas = [np.asarray(Image.open(path).convert("L")).mean() for path in sorted(looks.iterdir())]
    whole = run_cli("video", film, tmp_path / "all", "--sample", 10, "-s", identity_style)
    assert whole.returncode == 0, whole.stderr
    every = [
        np.asarray(Image.open(path).convert("L")).mean()
        for path in sorted((tmp_path / "all").iterdir())
    ]
    assert lumas == every[3:7]


@pytest.mark.parametrize(
    ("options", "size", "bar_px"),
    [
        ((), (64, 48), 0), (("--size", "24p"), (64, 48), 0),
        (("--output-size", "96p"), (128, 96), 0), (("--output-size", "48x48"), (48, 48), 6),
    ],
)  # fmt: skip
def test_samples_have_the_size_of_the_new_film(
    tmp_path: Path, film: Path, identity_style: Path, options: tuple[str, ...],
    size: tuple[int, int], bar_px: int,
) -> None:  # fmt: skip
    done = run_cli("video", film, tmp_path / "s", "--sample", 1, "-s", identity_style, *options)
    assert done.returncode == 0, done.stderr
    whole = run_cli("video", film, tmp_path / "out.mkv", "-s", identity_style, *options)
    assert whole.returncode == 0, whole.stderr
    picture = Image.open(tmp_path / "s/film-identity-01.png")
    with av.open(str(tmp_path / "out.mkv")) as painted:
        context = painted.streams.video[0].codec_context
        assert picture.size == size == (context.width, context.height)
    luma = np.asarray(picture.convert("L")).astype(int)
    assert luma[:bar_px].max(initial=0) <= 1
    assert luma[bar_px + 2 : size[1] - bar_px - 2].min() > 40


def test_samples_of_films_with_equal_names_go_into_subfolders(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    for name in ("a", "b"):
        (tmp_path / "films" / name).mkdir(parents=True)
        (tmp_path / "films" / name / "film.mp4").write_bytes(film.read_bytes())
    command = "video", "films", "looks", "-r", "--sample", "2", "-s", identity_style
    assert run_cli(*command, cwd=tmp_path).returncode == 0
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.glob("looks/*/*.png"))
    assert [str(path) for path in written] == [
        f"looks/{name}/film-identity-0{i}.png" for name in "ab" for i in (1, 2)
    ]
    (tmp_path / "looks/a/film-identity-01.png").unlink()
    refused = run_cli("video", film, "looks/a", "--sample", "2", "-s", identity_style, cwd=tmp_path)
    assert "film-identity-02.png exists already" in one_line(refused.stderr)
    assert not (tmp_path / "looks/a/film-identity-01.png").exists()


def test_refused_samples_leave_no_folder(tmp_path: Path, film: Path) -> None:
    result = run_cli("video", film, tmp_path / "looks.png", "--sample", 2)
    assert result.returncode == 1
    assert "samples go into a folder" in one_line(result.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["film.mp4"]


def test_more_samples_than_frames_paint_every_frame(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    plan = PaintPlan(Look(identity_style))
    written = paint_samples(FilmRequest(str(film), str(tmp_path / "looks"), plan), 100)
    assert len(written) == 10
    with pytest.raises(MediaError, match="samples go into a folder"):
        paint_samples(FilmRequest(str(film), str(tmp_path / "look.png"), plan), 1)


def test_numbered_pictures_are_not_painted_over_themselves(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    done = run_cli("video", film, "f_%03d.png", "-s", identity_style, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"f_%03d\.png: 10 frames .+; \d+ kB\n", done.stderr)  # without a bitrate
    before = {path: path.read_bytes() for path in tmp_path.glob("*.png")}
    refused = run_cli("video", "f_%03d.png", "f_%3d.png", "-y", "-s", identity_style, cwd=tmp_path)
    assert refused.returncode == 1
    assert "would be painted over itself" in refused.stderr
    assert {path: path.read_bytes() for path in tmp_path.glob("*.png")} == before
    back = run_cli(
        "video", "f_%03d.png", "b.mp4", "--fps", "24", "-s", identity_style, cwd=tmp_path
    )
    assert back.returncode == 0, back.stderr
    assert times_of(tmp_path / "b.mp4") == [Fraction(i, 24) for i in range(10)]


def test_a_folder_that_cannot_be_made_is_one_line(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    (tmp_path / "taken").write_text("a file")
    for extra in ([], ["--sample", "1"]):
        done = run_cli("video", film, "taken/more/", *extra, "-s", identity_style, cwd=tmp_path)
        assert done.returncode == 1
        assert done.stderr == "error: taken is not a folder; choose another\n"
        assert "Traceback" not in done.stderr


def test_a_folder_named_as_such_is_made(tmp_path: Path, film: Path, identity_style: Path) -> None:
    result = run_cli("video", film, "painted/", "-s", identity_style, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert times_of(tmp_path / "painted/film.mp4") == times_of(film)


@pytest.mark.slow
def test_films_through_pipes(tmp_path: Path, identity_style: Path) -> None:
    film = make_film(tmp_path / "film.mkv")
    command = cli_command("video", "-", "-", "-s", identity_style)
    with film.open("rb") as into, (tmp_path / "out.mkv").open("wb") as out:
        done = subprocess.run(command, stdin=into, stdout=out, stderr=subprocess.PIPE)
    assert done.returncode == 0, done.stderr
    assert times_of(tmp_path / "out.mkv") == times_of(film)
    assert sound_of(tmp_path / "out.mkv") == sound_of(film)


@pytest.mark.slow
def test_demo_needs_no_film(tmp_path: Path) -> None:
    out = tmp_path / "demo.mp4"
    result = run_cli("demo", out, "--duration", "0.5", "--json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["frames"] == 12
    assert len(times_of(out)) == 12
    assert len(sound_of(out)) > 10


def test_styles_are_listed_with_their_paintings() -> None:
    found = json.loads(run_cli("styles", "--json").stdout)
    assert {style["name"] for style in found} == set(bundled_styles())
    assert {"starry-night", "great-wave"} <= set(bundled_styles())
    for style in found:
        assert set(style) == {"name", "title", "painter", "year"}
    table = run_cli("styles").stdout
    assert "The Starry Night" in table
    assert "Hokusai" in table
    assert "twice as fast with --tier fast" in table
    assert max(map(len, table.splitlines())) <= 80
    for style in found:  # long titles go on in the next line
        words = f"{style['name']} {style['title']} {style['painter']}".split()
        assert all(word in table for word in words)


def test_films_and_pictures_are_sent_to_their_commands(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    done = run_cli("image", film.name, "b.png", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: film.mp4 is a film; paint it with `realtime-style video`")
    done = run_cli("video", "a.png", "b.png", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("error: a.png is a picture; paint it with `realtime-style image`")
    done = run_cli("video", film.name, "b.png", cwd=tmp_path)
    assert done.returncode == 1
    assert "b.png is one picture, not a film" in done.stderr
    assert "realtime-style image" not in done.stderr  # which would send its user back
    pictures = [Image.new("RGB", (32, 32), (90 * i, 0, 0)) for i in range(3)]
    for name in ("m.png", "m.gif", "m.webp", "m.avif"):  # `image` paints the first picture of them
        pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:])
        done = run_cli("video", name, "b.png", cwd=tmp_path)
        assert (done.returncode, "b.png is one picture, not a film" in done.stderr) == (1, True)
    for out in ("c_%02d.png", "c.mp4", "c.webp", "c/"):  # a film of one picture
        done = run_cli("video", "a.png", out, "-s", identity_style, "-q", cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_the_content_of_a_file_tells_a_picture_from_a_film(
    tmp_path: Path, film: Path, identity_style: Path
) -> None:
    film.write_bytes(film.read_bytes()[:200])
    done = run_cli("image", film.name, "b.png", cwd=tmp_path)
    assert done.returncode == 1
    assert "film.mp4 cannot be read as a film: its index is missing" in done.stderr
    Image.new("RGB", (32, 32)).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.mp4")
    done = run_cli("image", "a.mp4", "b.png", "-s", identity_style, cwd=tmp_path)
    assert (done.returncode, (tmp_path / "b.png").exists()) == (0, True), done.stderr


@pytest.mark.parametrize("columns", [40, 60, 300])
def test_the_list_of_styles_fits_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setitem(conftest.PLAIN_OUTPUT, "COLUMNS", str(columns))
    table = run_cli("styles").stdout
    assert max(map(len, table.splitlines())) <= min(80, columns)
    assert "…" not in table
    for name in bundled_styles():
        assert f" {name} " in table


def test_engines_are_built_listed_and_cleaned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REALTIME_STYLE_CACHE", str(tmp_path))
    PlanCache().write(PlanKey("0" * 64, "32x32", "f16", "tensorrt 10", "GPU 9.0"), b"plan")
    (tmp_path / "harmed.plan").write_bytes(b"rubbish")
    listed = run_cli("engine", "list").stdout
    assert "tensorrt 10 f16 on GPU 9.0, for 32x32" in listed
    assert "harmed.plan" in listed
    assert "damaged" in listed
    rows = json.loads(run_cli("engine", "list", "--json").stdout)["engines"]
    assert [row["key"] and row["key"]["device"] for row in rows] == ["GPU 9.0", None]
    assert run_cli("engine", "clean").returncode == 0
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("REALTIME_STYLE_CACHE", __file__)
    assert "is a file, so engines cannot be cached" in run_cli("engine", "list").stderr


@pytest.mark.skipif(not gpu_trouble(), reason="there is a GPU")
def test_without_a_gpu_its_engines_are_refused_in_a_line(tmp_path: Path, film: Path) -> None:
    for command in (
        ("engine", "build"),
        ("video", film, tmp_path / "out.mp4", "--engine", "tensorrt"),
        ("image", "a.png", tmp_path / "out.png", "--engine", "onnxruntime-cuda"),
    ):
        result = run_cli(*command)
        assert result.returncode == 1
        assert "GPU" in one_line(result.stderr) or "driver" in one_line(result.stderr)
    assert run_cli("engine", "build", "--engine", "openvino").returncode == 1
    assert run_cli("engine", "build", "--profile", "8k").returncode == 1
    for devices in ("first", "-1", "0,0"):
        result = run_cli("video", film, tmp_path / "out.mp4", "--devices", devices)
        assert result.returncode == 2
        assert "is not a list of GPUs" in result.stderr
    for impossible, status, why in (
        (("--engine", "openvino"), 2, "frames in GPU memory need TensorRT, not openvino"),
        (("--precision", "int8"), 2, "paints in f16 or f32, not in int8"),
        (("--codec", "prores"), 1, "a GPU does not encode with prores"),
    ):  # whatever there is in the machine
        result = run_cli("video", film, tmp_path / "out.mp4", "--on-gpu", *impossible)
        assert result.returncode == status
        assert why in one_line(result.stderr)
    assert not (tmp_path / "out.mp4").exists()


def test_engine_build_blames_an_engine_only_if_it_was_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise EngineError("there is no driver", setting="engine")

    monkeypatch.setattr("realtime_style.engines.opening.prebuild", refuse)
    assert run_cli("engine", "build").stderr == "error: there is no driver\n"
    asked = run_cli("engine", "build", "--engine", "tensorrt").stderr
    assert asked == "error: --engine: there is no driver\n"


def test_engine_build_names_its_own_option(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **options: object) -> None:
        raise EngineError("there is no GPU 5", setting="devices")

    monkeypatch.setattr("realtime_style.engines.opening.prebuild", refuse)
    assert "error: --device: there is no GPU 5" in run_cli("engine", "build").stderr


def examined(**changes: object) -> dict[str, object]:
    """What `doctor` may find."""
    chosen = {"name": "openvino", "precision": "int8", "works": True, "device": "Xeon"}
    live = {"cameras": ["Webcam"], "window": "", "virtual_camera": ""}
    report: dict[str, object] = {"chosen": chosen, "encoders": {"libx264": True}, "live": live}
    return report | {"gpu_trouble": ""} | changes


@pytest.mark.parametrize(
    ("changes", "can_paint", "said"),
    [
        ({}, True, "This computer paints films and pictures, with openvino in int8, on Xeon."),
        (
            {"chosen": {"works": False, "reason": "no engine is installed"}}, False,
            "This computer cannot paint: no engine is installed.",
        ),
        ({"encoders": {"libx264": False}}, False, "This computer cannot paint films: H.264 cannot"),
        ({}, True, "Live painting works, with Webcam."),
        (
            {"live": {"cameras": [], "window": "", "virtual_camera": ""}}, True,
            "Live painting works; no camera is connected, but films can be played.",
        ),
        (
            {"live": {"cameras": [], "window": "no display", "virtual_camera": ""}}, True,
            "Live painting has no window: no display. It can record and stream.",
        ),
        ({"gpu_trouble": "no driver"}, True, "No NVIDIA GPU can be used, and none is needed."),
        (
            {"encoders": {"libx264": True, "h264_nvenc": False, "h264_qsv": True}}, True,
            "Its hardware encodes films (h264_qsv), which leaves the processor to the painting.",
        ),
    ],
)  # fmt: skip
def test_doctor_ends_in_a_verdict(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], can_paint: bool, said: str
) -> None:
    report = examined(**changes)
    assert any(line.startswith(said) for line in doctor.verdict(report))
    monkeypatch.setattr(doctor, "examine", lambda: report)
    done = run_cli("doctor", "--json")
    assert done.returncode == (0 if can_paint else 1)
    assert json.loads(done.stdout)["verdict"] == doctor.verdict(report)
    monkeypatch.setattr(doctor, "table", lambda report: "")
    line = "To encode on it: realtime-style video in.mp4 out.mp4 --codec h264_qsv"
    assert (line in run_cli("doctor").stdout) == ("h264_qsv" in report["encoders"])


@pytest.mark.slow
def test_doctor_tries_everything() -> None:
    report = json.loads(run_cli("doctor", "--json").stdout)
    assert report["chosen"]["name"] == "openvino"
    assert report["chosen"]["precision"] in ("int8", "bf16", "f32")
    assert report["version"] == __version__
    works = {(e["name"], e["precision"]): e["works"] for e in report["engines"]}
    assert works["openvino", "f32"]
    assert all("device" in e or "reason" in e for e in report["engines"])
    assert report["encoders"]["libx264"]
    assert report["decoders"]["h264"]
    assert set(report["live"]) == {"cameras", "window", "virtual_camera"}
    said = run_cli("doctor").stdout
    assert "openvino f32: works" in said
    assert said.strip().endswith("\n".join(report["verdict"]))


def test_an_engine_that_paints_one_colour_counts_as_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    one_colour = np.full((8, 8, 3), 127, np.uint8)
    monkeypatch.setattr(PainterChain, "paint_rgb", lambda *_: one_colour)
    found = doctor._try_engine("openvino", "f32")
    assert not found["works"]
    assert "it paints nothing on" in found["reason"]


def test_unknown_cpu_instructions_are_not_reported_as_missing() -> None:
    report = doctor.examine()
    report["cpu"] |= {"flags": [], "flags_known": False}
    assert "its instructions are not known" in doctor.table(report)
    report["cpu"]["flags_known"] = True
    assert "no AVX2" in doctor.table(report)


def test_version_and_help() -> None:
    assert run_cli("--version").stdout.strip() == f"realtime-style {__version__}"
    for command in ("video", "webcam", "image", "demo", "styles", "train", "export", "doctor"):
        result = run_cli(command, "--help")
        assert result.returncode == 0
        assert command in result.stdout
        assert ("extra [train]" in result.stdout) == (command in ("train", "export"))


def test_train_without_its_extra_names_the_command_to_install_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from realtime_style.cli import main\n"
        "sys.argv = ['realtime-style', 'train', 'p.jpg', '--content', '.', '--out', 'o.onnx']\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert result.returncode == 1
    assert "pip install 'realtime-style[train]'" in one_line(result.stderr)


def test_export_of_rubbish_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "c.pt").write_bytes(b"rubbish")
    result = run_cli("export", "c.pt", "o.onnx", cwd=tmp_path)
    assert result.returncode == 1
    assert "c.pt is not a checkpoint" in one_line(result.stderr)
    assert not (tmp_path / "o.onnx").exists()


CLIP = SHARED_DATA / "videos" / "mdn_frog.mp4"


@pytest.mark.slow
@pytest.mark.skipif(not CLIP.exists(), reason="the real clips of shared/data are not here")
def test_a_real_clip_is_painted_whole(tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    result = run_cli("video", CLIP, out, "--size", "120p", "--json", "-q")
    assert result.returncode == 0, result.stderr
    assert times_of(out) == times_of(CLIP)
    assert sound_of(out) == sound_of(CLIP)
