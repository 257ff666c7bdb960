"""The size of the canvas follows from the size of the picture and that of the strokes."""

from __future__ import annotations

import pytest

from realtime_style.canvas import (
    CANVAS_MULTIPLE,
    MAX_PAINTED_PX,
    STROKE_SIZES,
    canvas_size,
    painted_size,
)


@pytest.mark.parametrize(
    ("film", "canvas"),
    [
        ((640, 360), (640, 360)),
        ((960, 540), (640, 360)),
        ((1280, 720), (640, 360)),
        ((720, 1280), (360, 640)),
        ((1920, 1080), (640, 360)),
        ((2560, 1440), (640, 360)),
        ((3840, 2160), (640, 360)),
        ((4000, 3000), (480, 360)),
        ((854, 480), (640, 360)),
        ((1000, 1000), (360, 360)),
    ],
)
def test_medium_strokes_have_360_lines(film: tuple[int, int], canvas: tuple[int, int]) -> None:
    assert canvas_size(*film) == canvas


@pytest.mark.parametrize(
    ("strokes", "canvas"),
    [("small", (960, 544)), ("medium", (640, 360)), ("large", (424, 240))],
)
def test_larger_strokes_have_a_smaller_canvas(strokes: str, canvas: tuple[int, int]) -> None:
    assert canvas_size(1920, 1080, STROKE_SIZES[strokes]) == canvas


def test_any_number_is_a_size_of_strokes() -> None:
    assert canvas_size(1920, 1080, 3.0) == (216, 120)
    assert canvas_size(1920, 1080, 1e-6) == (1920, 1080)
    assert canvas_size(1920, 1080, 1e6) == (8, 8)


@pytest.mark.parametrize("film", [(8, 8), (100, 52), (426, 240), (16, 8192), (358, 362)])
@pytest.mark.parametrize("strokes", [0.01, 0.5, 1.0, 1.7, 40.0])
def test_it_is_never_larger_than_the_film(film: tuple[int, int], strokes: float) -> None:
    canvas = canvas_size(*film, strokes)
    for side, whole in zip(canvas, film, strict=True):
        assert side % CANVAS_MULTIPLE == 0
        assert CANVAS_MULTIPLE <= side <= whole


def test_what_has_no_canvas_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 8 px on each side, not 64x6"):
        canvas_size(64, 6)
    for strokes in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="must be above 0"):
            canvas_size(64, 64, strokes)


@pytest.mark.parametrize(
    ("size", "painted"),
    [
        ((1280, 720), (1280, 720)),
        ((1920, 1088), (1920, 1088)),  # hardly larger than 1080 lines
        ((2560, 1440), (1920, 1080)),
        ((3840, 2160), (1920, 1080)),
        ((2160, 3840), (1080, 1920)),
        ((4000, 3000), (1440, 1080)),
        ((8192, 1000), (6218, 758)),  # wide, so that the pixels decide
        ((16, 16), (16, 16)),
    ],
)
def test_only_large_pictures_are_painted_smaller(
    size: tuple[int, int], painted: tuple[int, int]
) -> None:
    assert painted_size(*size) == painted
    assert painted[0] * painted[1] <= max(MAX_PAINTED_PX, size[0] * size[1] / 1.4)
