"""Only people, or only what is around them: finding, refining, composing, commands."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.reformatter import VideoReformatter
from conftest import lumas_of, make_film, run_cli, scene_rgb
from numpy.typing import NDArray
from PIL import Image

from realtime_style.color import ColorSpace
from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.registry import available_engines
from realtime_style.errors import EngineError
from realtime_style.frame import Frame, FramePool, Size
from realtime_style.live.stage import LiveStage
from realtime_style.media.scaling import frame_from_rgb, scaled_frame
from realtime_style.painting import matte, person
from realtime_style.painting.chain import build_painter
from realtime_style.painting.mask import Mask
from realtime_style.painting.person import MASK_HEIGHT, MASK_WIDTH, Found, PersonFinder
from realtime_style.painting.plan import MaskPlan, PaintPlan
from realtime_style.stages import Pending

# A drawn figure; its alpha is the mask that the original network made of it in MediaPipe, see
# benchmarks/results/mask.md
DRAWN = np.asarray(Image.open(Path(__file__).with_name("person.png")))
FIGURE, ORIGINAL_MASK = np.ascontiguousarray(DRAWN[..., :3]), DRAWN[..., 3]
PARITY = 0.015
ENGINES = [name for name in available_engines() if name in ("openvino", "onnxruntime")]


def frame_of(rgb: NDArray[np.uint8], width: int = MASK_WIDTH, height: int = MASK_HEIGHT) -> Frame:
    return frame_from_rgb(
        np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC)),
        ColorSpace(),
    )


def flat_frame(luma: int, width: int = 128, height: int = 96) -> Frame:
    i420 = np.full((height * 3 // 2, width), 128, np.uint8)
    i420[:height] = luma
    return Frame(i420, 7, Fraction(1, 25), ColorSpace())


class StubFinder(PersonFinder):
    """Finds what it is told to."""

    def __init__(self, mask: NDArray[np.float32]) -> None:
        self.mask, self.resets = mask, 0

    def find(self, frame: Frame, *, steady: bool) -> Found:
        size = (MASK_WIDTH, MASK_HEIGHT)
        return Found(self.mask, scaled_frame(frame, size, VideoReformatter(), FramePool()))

    def reset(self) -> None:
        self.resets += 1


class White:
    """A painter that paints everything in one light colour."""

    in_flight = 1

    def begin(self, frame: Frame) -> Pending[Frame]:
        painted = Frame(np.full_like(frame.i420, 200), frame.pts, frame.time_base, frame.color)
        return lambda: painted

    def prepare(self, size: tuple[int, int], on_build: Any = None) -> None: ...

    def reset(self) -> None: ...

    def cancel(self) -> None: ...


def masked(frame: Frame, mask: NDArray[np.float32], plan: MaskPlan | None = None) -> Frame:
    return Mask(White(), plan or MaskPlan(), StubFinder(mask)).begin(frame)()


def left_half(share: float = 0.5) -> NDArray[np.float32]:
    mask = np.zeros((MASK_HEIGHT, MASK_WIDTH), np.float32)
    mask[:, : round(MASK_WIDTH * share)] = 1
    return mask


# The network ------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_masks_are_those_of_the_original_network(engine: str) -> None:
    (mask,) = PersonFinder(engine)._network({"picture": FIGURE[None]})["mask"]
    difference = np.abs(mask.astype(int) - ORIGINAL_MASK) / 255
    assert difference.max() <= PARITY
    assert 0.2 < (ORIGINAL_MASK > 128).mean() < 0.24, "there is a person to be found"


@pytest.mark.parametrize("name", ["tensorrt", "onnxruntime-cuda", "auto", *ENGINES])
def test_any_engine_of_styles_finds_people(name: str) -> None:
    found = PersonFinder(name).find(frame_of(FIGURE), steady=False)
    assert np.abs(found.mask - (ORIGINAL_MASK > 128)).mean() < 0.01


def test_a_network_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(person, "_MODEL", Path("nowhere.onnx"))
    with pytest.raises(EngineError, match="finds people is missing; reinstall"):
        PersonFinder()


# Steadiness in time -----------------------------------------------------------------------------


@pytest.fixture
def seen() -> tuple[PersonFinder, Callable[[int, int], float]]:
    """A finder whose network says what it is told, and a function that shows it a flat frame."""
    finder, mask = PersonFinder(ENGINES[0]), np.zeros((1, MASK_HEIGHT, MASK_WIDTH), np.uint8)

    def show(luma: int, says: int) -> float:
        mask[...] = says
        finder.find(flat_frame(luma), steady=True)
        assert finder._mask is not None
        return float(finder._mask.mean())

    finder._network = lambda inputs: {"mask": mask}  # type: ignore[assignment]
    return finder, show


def test_a_mask_follows_slowly_where_nothing_moves(seen: Any) -> None:
    _, show = seen
    assert show(100, 200) == 200
    assert show(100, 100) == 175  # by a quarter
    assert show(103, 100) == 156


def test_a_mask_follows_at_once_where_something_moves(seen: Any) -> None:
    _, show = seen
    assert show(100, 200) == 200
    assert show(110, 100) == 100


def test_a_cut_and_a_reset_forget_the_former_mask(seen: Any) -> None:
    finder, show = seen
    half = left_half() > 0
    frame = flat_frame(100)
    frame.luma[..., : 128 * 3 // 4] = 200  # three quarters change; the rest stays still
    assert show(100, 200) == 200
    finder._network({})["mask"][...] = 80
    finder.find(frame, steady=True)
    assert (finder._mask[half] == 80).all()
    assert (finder._mask[:, -20:] == 80).all()
    show(100, 200)
    finder.reset()
    assert show(100, 80) == 80


def test_frames_by_themselves_are_not_smoothed(seen: Any) -> None:
    finder, show = seen
    show(100, 255)
    finder._network({})["mask"][...] = 0
    assert finder.find(flat_frame(100), steady=False).mask.max() == 0


# Composing --------------------------------------------------------------------------------------

SIZES = [(128, 96), (256, 144), (1280, 720), (34, 18), (854, 480), (322, 246), (16, 16)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_without_a_person_the_frame_stays_exactly_as_it_is(width: int, height: int) -> None:
    frame = frame_of(scene_rgb(), width, height)
    kept = frame.i420.copy()
    nobody = np.zeros((MASK_HEIGHT, MASK_WIDTH), np.float32)
    shown = masked(frame, nobody)
    assert np.array_equal(shown.i420, kept)
    assert (shown.pts, shown.time_base, shown.color) == (frame.pts, frame.time_base, frame.color)
    assert (masked(frame, nobody, MaskPlan("background")).i420 == 200).all()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_person_everywhere_is_painted_everywhere(width: int, height: int) -> None:
    frame = frame_of(scene_rgb(), width, height)
    everybody = np.ones((MASK_HEIGHT, MASK_WIDTH), np.float32)
    assert (masked(frame, everybody).i420 == 200).all()
    assert np.array_equal(masked(frame, everybody, MaskPlan("background")).i420, frame.i420)


@pytest.mark.parametrize(("width", "height"), SIZES[:-1])
def test_half_a_picture_is_painted_with_a_soft_edge(width: int, height: int) -> None:
    frame = flat_frame(40, width, height)
    shown = masked(frame, left_half())
    row = shown.luma[0, 0, height // 2].astype(int)
    soft = max(6, round(0.06 * width))
    assert (row[: width // 2 - soft] == 200).all()
    assert (row[width // 2 + soft :] == 40).all()
    assert (np.diff(row) <= 0).all(), "the edge falls evenly"
    chroma = shown.chroma[0, 0, height // 4].astype(int)
    assert (chroma[: width // 4 - soft] == 200).all()
    assert (chroma[width // 4 + soft :] == 128).all()
    assert (shown.luma[0, 0] == row).all(), "all rows are alike, to the last"


@pytest.mark.parametrize(("width", "height"), SIZES[:-1])
def test_the_two_parts_add_up_to_the_picture(width: int, height: int) -> None:
    frame = flat_frame(40, width, height)
    people, around = (
        masked(frame, left_half(), MaskPlan(only)) for only in ("person", "background")
    )
    total = people.luma.astype(int) + around.luma
    assert np.abs(total - 240).max() <= 1


def test_the_edge_follows_that_of_the_picture() -> None:
    """A mask has coarse cells; the picture shows exactly where the person ends."""
    width, height = 1280, 720
    mask, at = left_half(), np.s_[0, 0, height // 2]
    frame = flat_frame(40, width, height)
    unguided = masked(frame, mask).luma[at].astype(int)
    frame.luma[..., : width // 2] = 120
    row = masked(frame, mask).luma[at].astype(int)
    middle = width // 2
    assert 45 < unguided[middle - 12] < 195, "a soft edge, which lies a little within the mask"
    assert (row[: middle - 1] > 195).all()
    assert (row[middle + 1 :] < 45).all()


def test_far_from_an_edge_nothing_depends_on_the_picture() -> None:
    """So that blocks there need not be computed."""
    noise = np.random.default_rng(2).uniform(0, 255, (72, 128)).astype(np.float32)
    mask = np.zeros_like(noise)
    mask[:, :64] = 1
    slope, _ = matte._lines(mask, noise)
    assert (slope[:, :62] == 0).all()
    assert (slope[:, 66:] == 0).all()
    assert (slope[:, 63:65] != 0).any()


@pytest.mark.parametrize(("stability", "steady"), [(0.0, False), (0.5, True)])
def test_pictures_and_samples_are_masked_by_themselves(
    stability: float, steady: bool, negative_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    find = PersonFinder.find

    def watched(self: PersonFinder, frame: Frame, *, steady: bool) -> Found:
        asked.append(steady)
        return find(self, frame, steady=steady)

    monkeypatch.setattr(PersonFinder, "find", watched)
    plan = PaintPlan(negative_style, stability=stability, mask=MaskPlan())
    build_painter(plan, ColorSpace())(flat_frame(90))
    assert asked == [steady]


def test_a_live_picture_is_masked_from_the_next_frame_on(
    negative_style: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resets = []
    monkeypatch.setattr(PersonFinder, "reset", lambda self: resets.append(self))
    style = str(negative_style)
    plan = PaintPlan(style, EngineChoice("openvino", "f32"), 0.0, grain=False)
    stage = LiveStage([style], plan, size=Size(96))
    frame = flat_frame(90)
    stage.prepare(frame.color, 1 / 30)
    try:
        lumas = []
        for mask in (None, MaskPlan(), MaskPlan("background"), None, MaskPlan()):
            stage.set_mask(mask)
            assert stage.mask == mask
            lumas += [int(stage(frame).painted.luma.mean()) for _ in range(2)]
    finally:
        assert stage.close(10)
    assert lumas == [165, 165, 90, 90, 165, 165, 165, 165, 90, 90]
    assert len(resets) == 4, "each time that what is painted has changed"
    assert len(set(resets)) == 1, "the network is loaded once"


def test_a_color_surrounds_people() -> None:
    green = masked(flat_frame(40), left_half(), MaskPlan("person", "#00b140"))
    frame = frame_from_rgb(np.full((96, 128, 3), (0, 177, 64), np.uint8), ColorSpace())
    right = np.s_[..., 80:]
    assert np.abs(green.luma[right].astype(int) - frame.luma[right]).max() <= 1
    assert np.abs(green.chroma[..., 40:].astype(int) - frame.chroma[..., 40:]).max() <= 1
    assert (green.luma[..., :40] == 200).all()


def test_a_blurred_background_has_no_glow_of_the_person() -> None:
    frame = flat_frame(40, 256, 144)
    frame.luma[..., :128] = 235
    frame.chroma[..., :64] = 200
    blurred = masked(frame, left_half(), MaskPlan("person", "blur"))
    assert np.abs(blurred.luma[..., 144:].astype(int) - 40).max() <= 1
    assert np.abs(blurred.chroma[..., 72:].astype(int) - 128).max() <= 1


def test_a_blurred_background_is_blurred() -> None:
    random = np.random.default_rng(4)
    frame = flat_frame(0, 256, 144)
    frame.luma[...] = random.integers(0, 255, frame.luma.shape, np.uint8)
    nobody = np.zeros((MASK_HEIGHT, MASK_WIDTH), np.float32)
    blurred = masked(frame, nobody, MaskPlan("person", "blur")).luma.astype(float)
    assert blurred.std() < 0.05 * frame.luma.std()
    assert abs(blurred.mean() - frame.luma.mean()) < 2
    everybody = masked(frame, nobody + 1, MaskPlan("person", "blur"))
    assert (everybody.luma == 200).all()


def test_reset_reaches_the_finder() -> None:
    finder = StubFinder(left_half())
    Mask(White(), MaskPlan(), finder).reset()
    assert finder.resets == 1


def test_the_chain_paints_the_person_that_it_finds(negative_style: Path) -> None:
    """With real network and painter: the negative turns luma over."""
    frame = frame_of(FIGURE, 640, 360)
    for stability in (0.0, 0.5):
        plan = PaintPlan(negative_style, stability=stability, grain=False, mask=MaskPlan())
        painted = build_painter(plan, ColorSpace())(frame)
        inside, outside = np.s_[0, 0, 280:350, 290:350], np.s_[0, 0, 10:300, 10:160]
        luma = frame.luma.astype(int)
        assert np.abs(painted.luma[inside] - (255 - luma[inside])).max() <= 2
        assert np.array_equal(painted.luma[outside], frame.luma[outside])


# Commands ---------------------------------------------------------------------------------------


def test_a_film_without_people_stays_as_it_is(tmp_path: Path, negative_style: Path) -> None:
    film = make_film(tmp_path / "in.mp4")
    for part, painted in (("person", False), ("background", True)):
        out = tmp_path / f"{part}.mp4"
        result = run_cli("video", film, out, "--style", negative_style, "--only", part)
        assert result.returncode == 0, result.stderr
        wanted = [255 - luma if painted else luma for luma in lumas_of(film)]
        assert np.abs(np.subtract(lumas_of(out), wanted)).max() < 3


def test_a_picture_is_painted_around_its_person(tmp_path: Path, negative_style: Path) -> None:
    photo, out = tmp_path / "in.png", tmp_path / "out.png"
    Image.fromarray(FIGURE).resize((512, 288)).save(photo)
    arguments = ("image", photo, out, "--style", negative_style, "--only", "person")
    result = run_cli(*arguments, "--background", "black")
    assert result.returncode == 0, result.stderr
    rgb = np.asarray(Image.open(out)).astype(int)
    assert rgb[10:100, 10:100].max() <= 2
    assert rgb[240:280, 240:270].min() > 100, "the dark blue pullover has become light"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--only", "cat"), "there is no 'cat'; choose person, background"),
        (("--background", "blur"), "it is for --only person"),
        (("--only", "person", "--background", "sunset"), "'sunset' is not a background"),
        (("--only", "background", "--background", "blur"), "the background is painted"),
        (("--only", "person", "--on-gpu"), "painted whole; leave --on-gpu out"),
    ],
)
def test_what_cannot_be_is_refused(
    options: tuple[str, ...], message: str, tmp_path: Path, identity_style: Path
) -> None:
    film, out = make_film(tmp_path / "in.mp4"), tmp_path / "out.mp4"
    result = run_cli("video", film, out, "--style", identity_style, *options)
    assert result.returncode == 2
    assert message in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.stderr
    assert not out.exists()
