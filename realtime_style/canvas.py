"""The sizes at which the network works: that of the canvas, and that of what is painted."""

from __future__ import annotations

CANVAS_MULTIPLE = 8
"""Sides of a canvas are multiples of this: light and colours are measured in cells of 8 px."""

MEDIUM_LINES = 360
"""Length of the canvas's shorter side at medium strokes, in pixels."""

STROKE_SIZES = {"small": 2 / 3, "medium": 1.0, "large": 1.5}
"""How large strokes are relative to the picture, by name; medium is 1."""

MIN_STROKES, MAX_STROKES = 0.25, 4.0
"""The limits of that: on smaller and larger canvases the network paints what it never learned."""

MAX_PAINTED_LINES = 1080
MAX_PAINTED_PX = 4096 * 1152
"""Pictures with a longer shorter side, or more pixels, are painted smaller, and enlarged."""

_LEAST_REDUCTION = 1.2  # smaller reductions would save little


def painted_size(width: int, height: int) -> tuple[int, int]:
    """The size at which pictures of a size are painted: their own, unless they are very large.

    Args:
        width, height: size of the pictures in pixels, both even.

    Returns:
        Width and height in pixels, both even, of the same shape.
    """
    by_lines = min(width, height) / MAX_PAINTED_LINES
    reduction = max(by_lines, (width * height / MAX_PAINTED_PX) ** 0.5)
    if reduction < _LEAST_REDUCTION:
        return width, height
    return 2 * max(1, round(width / reduction / 2)), 2 * max(1, round(height / reduction / 2))


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
