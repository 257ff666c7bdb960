"""The canvas: the size at which strokes are painted, whatever the size of the picture."""

from __future__ import annotations

CANVAS_MULTIPLE = 8
"""Sides of a canvas are multiples of this: light and colours are measured in cells of 8 px."""

MEDIUM_LINES = 360
"""Length of the canvas's shorter side at medium strokes, in pixels."""

STROKE_SIZES = {"small": 2 / 3, "medium": 1.0, "large": 1.5}
"""How large strokes are relative to the picture, by name; medium is 1."""


def canvas_size(width: int, height: int, strokes: float = 1.0) -> tuple[int, int]:
    """The size of the canvas for pictures of a size.

    The shorter side gets MEDIUM_LINES / strokes pixels, rounded to CANVAS_MULTIPLE, so strokes are
    equally large relative to pictures of all sizes. No side is longer than the picture's, so
    pictures smaller than that are their own canvas.

    Args:
        width, height: size of the pictures in pixels, each at least CANVAS_MULTIPLE.
        strokes: how large strokes are relative to the picture, above 0; see STROKE_SIZES.

    Returns:
        Width and height of the canvas, multiples of CANVAS_MULTIPLE.

    Raises:
        ValueError: a side is shorter than CANVAS_MULTIPLE, or `strokes` is not above 0.
    """
    shorter = min(width, height)
    if shorter < CANVAS_MULTIPLE:
        raise ValueError(
            f"pictures must have at least {CANVAS_MULTIPLE} px on each side, not {width}x{height}"
        )
    if not strokes > 0:
        raise ValueError(f"the size of strokes must be above 0, not {strokes:g}")
    ratio = shorter * strokes / MEDIUM_LINES
    return _side(width, ratio), _side(height, ratio)


def _side(side: int, ratio: float) -> int:
    nearest = round(side / ratio / CANVAS_MULTIPLE)
    return CANVAS_MULTIPLE * min(max(nearest, 1), side // CANVAS_MULTIPLE)
