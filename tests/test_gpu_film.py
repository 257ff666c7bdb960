"""Films whose frames stay in GPU memory, with a fake GPU whose memory is the host's."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import add_picture, grey, lumas_of, make_film, run_cli, sound_of, times_of
from fake_gpu import FakeCuda, FakeTensorRt

from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.registry import engine_trouble
from realtime_style.engines.tensorrt import engine as tensorrt_engine
from realtime_style.engines.tensorrt.cuda import gpu_trouble
from realtime_style.engines.tensorrt.engine import TensorRtEngine
from realtime_style.engines.tensorrt.plan_cache import PlanCache
from realtime_style.errors import MediaError
from realtime_style.jobs import film as film_job
from realtime_style.jobs.film import FilmJob, FilmRequest, open_film
from realtime_style.media import encoding, film_sink, film_source
from realtime_style.media.encoding import Encoding
from realtime_style.media.film_source import FileSource
from realtime_style.painting import chain, dlpack, gpu_stylizer
from realtime_style.painting.plan import PaintPlan
from realtime_style.style.look import Look
from realtime_style.tools.demo import draw_scene, write_demo_film


def on_gpu(film: Path, out: Path, plan: PaintPlan, *, encoding: Encoding = Encoding()) -> FilmJob:
    """A job whose frames stay in GPU memory."""
    return open_film(FilmRequest(str(film), str(out), plan, encoding=encoding, residency="gpu"))


@pytest.fixture
def plan(identity_style: Path) -> PaintPlan:
    """A plan for the fake GPU, which paints negatives whatever the style."""
    return PaintPlan(identity_style)


@pytest.fixture
def trt() -> FakeTensorRt:
    return FakeTensorRt(FakeCuda())


@pytest.fixture
def cuda(trt: FakeTensorRt, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCuda:
    """A machine whose GPU decodes to its memory, paints negatives and encodes from its memory."""
    cuda = trt.cuda
    monkeypatch.setattr(tensorrt_engine, "build_engine", trt.build)
    monkeypatch.setattr(tensorrt_engine, "refit_engine", trt.refit)
    monkeypatch.setattr(film_job, "CudaPython", lambda number: cuda)
    for module in (film_source, film_sink):
        monkeypatch.setattr(module, "nvidia_device", lambda number: None)
    monkeypatch.setattr(encoding, "_GPU_ENCODERS", {"libx264": "libx264"})
    decoded = FileSource.pictures

    def moved_to_gpu(film: FileSource) -> Iterator[av.VideoFrame]:
        for picture in decoded(film):
            moved = picture.reformat(format="nv12")
            moved.pts, moved.time_base = picture.pts, picture.time_base
            moved.duration = picture.duration
            yield moved

    monkeypatch.setattr(FileSource, "pictures", moved_to_gpu)

    def engine(model: bytes, cuda: FakeCuda, choice: EngineChoice) -> TensorRtEngine:
        return TensorRtEngine(
            model, choice.precision, trt, cuda, PlanCache(tmp_path / "kept"), gpu_frames=True
        )

    monkeypatch.setattr(chain, "open_gpu_engine", engine)
    return cuda


def test_a_film_is_painted_without_leaving_the_gpu(
    cuda: FakeCuda, plan: PaintPlan, tmp_path: Path
) -> None:
    pts = (0, 1, 2, 5, 6, 10, 11, 12, 13, 14)  # at uneven times
    film = make_film(tmp_path / "film.mp4", size=(102, 66), pts=pts)  # not multiples of 4
    out = tmp_path / "out.mp4"
    with on_gpu(film, out, plan, encoding=Encoding(crf=1)) as job:
        stats = job.run().stats
        notes = job.notes
    assert stats.frames == 10
    assert cuda.launches == 10
    assert cuda.host == {}, "no memory of the host's takes part"
    assert times_of(out) == times_of(film)
    assert sound_of(out) == sound_of(film)
    assert lumas_of(out) == pytest.approx([255 - luma for luma in lumas_of(film)], abs=2)
    assert any("not available in GPU memory" in note for note in notes)
    del job
    gc.collect()
    assert cuda.left == cuda.memory
    assert dlpack._held == {}


def test_frames_are_repeated_as_in_host_memory(
    cuda: FakeCuda, plan: PaintPlan, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "film.mkv", size=(102, 66), pts=[0, 1, 2, 7, 8, 9], sound="aac")
    out = tmp_path / "out.mxf"
    with on_gpu(film, out, plan, encoding=Encoding(crf=1)) as job:
        job.run()
    shown = [0, 1, 2, 2, 2, 2, 2, 3, 4, 5]
    assert times_of(out) == [Fraction(i, 25) for i in range(10)]
    assert lumas_of(out) == pytest.approx([255 - grey(i) for i in shown], abs=2)
    expected = "4 frames are repeated: .mxf shows all equally long, 25 in a second"
    assert expected in job.notes


def test_strokes_are_as_large_as_in_host_memory(
    cuda: FakeCuda, trt: FakeTensorRt, plan: PaintPlan, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "film.mp4", size=(480, 384), pts=(0, 1))
    for strokes, canvas in ((1.0, (360, 448)), (1.5, (240, 304)), (0.25, (384, 480))):
        with on_gpu(
            film,
            tmp_path / f"{strokes}.mp4",
            replace(plan, look=replace(plan.look, strokes=strokes)),
        ) as job:
            job.run()
        assert trt.canvas.shape == canvas


def test_a_style_paints_as_it_does_in_host_memory(
    cuda: FakeCuda, trt: FakeTensorRt, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime", reason="the extra [onnxruntime] is missing")
    trt.runs_models = True
    film = write_scenes(tmp_path / "film.mkv", (226, 146))
    look = Look("great-wave", strokes=4)  # a canvas of 88 lines
    plan = PaintPlan(look, stability=0, grain=False)
    best = Encoding(crf=1)
    with on_gpu(film, tmp_path / "gpu.mkv", plan, encoding=best) as job:
        job.run()
    plan = replace(plan, engine=EngineChoice("onnxruntime", "f32"))
    request = FilmRequest(str(film), str(tmp_path / "host.mkv"), plan, encoding=best)
    with open_film(request) as job:
        job.run()
    ours, theirs = (pictures_of(tmp_path / f"{name}.mkv") for name in ("gpu", "host"))
    assert ours.shape == theirs.shape == (2, 146 * 3 // 2, 226)
    for part in (np.s_[:, :146], np.s_[:, 146:]):  # luma, chroma
        assert np.abs(ours[part].astype(int) - theirs[part]).mean() < 1
        assert theirs[part].std() > 5


def write_scenes(film: Path, size: tuple[int, int], pix_fmt: str = "yuv420p") -> Path:
    """A film of two pictures."""
    with av.open(str(film), "w") as written:
        stream = add_picture(written, size=size, pix_fmt=pix_fmt, options={"crf": "10"})
        for at in (0.0, 0.5):
            scene = av.VideoFrame.from_ndarray(draw_scene(at, *size), "rgb24")
            written.mux(stream.encode(scene))
        written.mux(stream.encode(None))
    return film


def pictures_of(film: Path) -> np.ndarray:
    with av.open(str(film)) as opened:
        return np.array([f.to_ndarray(format="yuv420p") for f in opened.decode(video=0)])


def test_colours_can_be_kept(
    cuda: FakeCuda, trt: FakeTensorRt, identity_style: Path, tmp_path: Path
) -> None:
    film = make_film(tmp_path / "film.mp4")
    trt.chroma = 77
    seen = {}
    for keeps in (False, True):
        look, out = Look(identity_style, keep_colors=keeps), tmp_path / f"{keeps}.mp4"
        with on_gpu(film, out, PaintPlan(look), encoding=Encoding(crf=1)) as job:
            job.run()
        with av.open(str(out)) as painted:
            frame = next(painted.decode(video=0)).to_ndarray(format="yuv420p")
        seen[keeps] = frame[48:].mean()
    assert seen[True] == pytest.approx(128, abs=2)
    assert seen[False] == pytest.approx(77, abs=4)


@pytest.mark.parametrize(
    ("size", "pix_fmt", "codec", "why"),
    [
        ((64, 48), "yuv420p10le", "libx265", "converted from yuv420p10le"),
        ((64, 48), "yuv444p", "libx264", "converted from yuv444p"),
    ],
)
def test_films_that_need_a_conversion_are_refused(
    cuda: FakeCuda,
    plan: PaintPlan,
    tmp_path: Path,
    size: tuple[int, int],
    pix_fmt: str,
    codec: str,
    why: str,
) -> None:
    film = make_film(tmp_path / "film.mkv", size=size, pix_fmt=pix_fmt, codec=codec)
    out = tmp_path / "out.mp4"
    with pytest.raises(MediaError, match=why) as error:
        on_gpu(film, out, plan)
    assert error.value.setting == "residency"
    assert list(tmp_path.glob("*out*")) == []


def test_films_with_odd_sides_are_refused(cuda: FakeCuda, plan: PaintPlan, tmp_path: Path) -> None:
    film = write_scenes(tmp_path / "film.mkv", (65, 48), "yuv444p")
    with pytest.raises(MediaError, match="65x48 is cut to 64x48"):
        on_gpu(film, tmp_path / "out.mp4", plan)


def test_other_codecs_are_refused(
    cuda: FakeCuda, plan: PaintPlan, film: Path, tmp_path: Path
) -> None:
    with pytest.raises(MediaError, match="does not encode with ffv1"):
        on_gpu(film, tmp_path / "out.mkv", plan, encoding=Encoding("ffv1"))


def test_frames_of_changing_sizes_end_the_job(
    cuda: FakeCuda, plan: PaintPlan, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = FileSource.pictures

    def changing(film: FileSource) -> Iterator[av.VideoFrame]:
        for i, picture in enumerate(whole(film)):
            yield picture if i < 5 else picture.reformat(width=32, height=32)

    monkeypatch.setattr(FileSource, "pictures", changing)
    with pytest.raises(MediaError, match="the size of its pictures changes"):  # noqa: SIM117
        with on_gpu(film, tmp_path / "out.mp4", plan) as job:
            job.run()
    # Frames from before the change are kept, if any was painted by then
    assert {*tmp_path.glob("*out*")} <= {tmp_path / "out.stopped.mp4"}


def test_what_the_gpu_does_not_decode_is_refused(
    cuda: FakeCuda, plan: PaintPlan, film: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = FileSource.pictures
    monkeypatch.setattr(
        FileSource,
        "pictures",
        lambda film: (picture.reformat(format="yuv420p") for picture in whole(film)),
    )
    job = on_gpu(film, tmp_path / "out.mp4", plan)
    with pytest.raises(MediaError, match="the GPU does not decode it"), job:
        job.run()


def test_the_decoder_shares_the_primary_context() -> None:
    device = film_source.nvidia_device(1)
    assert device.is_hw_owned
    assert device.device_id == 1
    assert device.options == {"primary_ctx": "0", "current_ctx": "1"}


def test_memory_is_reused_and_freed(cuda: FakeCuda) -> None:
    cuda.use()
    memory = gpu_stylizer._Memory(cuda)
    first = memory.take(64, 48)
    assert first.picture.chroma == first.picture.luma + first.picture.luma_pitch * 48
    at = first.picture.luma
    del first
    again = memory.take(64, 48)
    assert again.picture.luma == at
    other = memory.take(128, 96)  # another size: the former memory is not kept
    del again
    assert len(cuda.buffers) == 1
    del other, memory
    gc.collect()
    assert cuda.buffers == {}


@pytest.mark.skipif(not gpu_trouble(), reason="there is a GPU")
def test_without_a_gpu_the_error_is_one_line(film: Path, tmp_path: Path) -> None:
    run = run_cli("video", film, tmp_path / "out.mp4", "--on-gpu")
    assert run.returncode == 1
    assert run.stderr.count("\n") == 1
    assert run.stderr == f"error: {gpu_trouble()}; leave --on-gpu out\n"
    run = run_cli("video", film, tmp_path / "out.mp4", "--on-gpu", "--size", "720p")
    assert run.returncode == 2
    assert "--on-gpu" in run.stderr


@pytest.mark.gpu
def test_a_real_gpu_paints_like_the_cpu(tmp_path: Path) -> None:
    if trouble := engine_trouble("tensorrt") and engine_trouble("tensorrt-rtx"):
        if os.environ.get("REQUIRE_GPU") == "1":
            pytest.fail(f"REQUIRE_GPU=1, but {trouble}")
        pytest.skip(trouble)
    film = tmp_path / "film.mp4"
    write_demo_film(film, 2)
    for name, residency, engine in (("gpu", "gpu", "auto"), ("cpu", "memory", "onnxruntime")):
        plan = PaintPlan(engine=EngineChoice(engine), stability=0, grain=False)
        out = str(tmp_path / f"{name}.mp4")
        with open_film(FilmRequest(str(film), out, plan, residency=residency)) as job:
            job.run()
    assert times_of(tmp_path / "gpu.mp4") == times_of(film)
    assert sound_of(tmp_path / "gpu.mp4") == sound_of(film)
    ours, theirs = (lumas_of(tmp_path / f"{name}.mp4") for name in ("gpu", "cpu"))
    assert ours == pytest.approx(theirs, abs=3)


def test_a_plane_is_read_without_a_copy() -> None:
    picture = av.VideoFrame(64, 48, "nv12")
    plane = dlpack.ForeignPlane(picture.planes[0])
    rows = np.frombuffer(memoryview(picture.planes[0]), np.uint8)
    assert plane.address == rows.ctypes.data
    assert plane.pitch == picture.planes[0].line_size
