"""The file of the encoder, the network that chooses a bundled style for a picture."""

from __future__ import annotations

from realtime_style.style.bundled import CHART

ENCODER = CHART.with_name("encoder.onnx")
"""It reads a picture of `look_size`, (1, 3, H, W) uint8 RGB, and gives the share of each style in
its strokes, (1, styles) float32."""

STYLES_KEY = "styles"
"""Key of the encoder's metadata entry that lists the names of the styles, as JSON, in its order."""

_LOOK_PX = 512  # square root of the pixel count
_MIN_LOOK_PX = 32


def look_size(width: int, height: int) -> tuple[int, int]:
    """The (width, height) at which a style picture is looked at, both multiples of 4.

    The result has about 512 * 512 pixels and the aspect ratio of the picture, except that no side
    is below 32 pixels.

    Args:
        width, height: size of the picture in pixels.
    """
    scale = _LOOK_PX / (width * height) ** 0.5
    new_width, new_height = (
        max(_MIN_LOOK_PX, round(side * scale / 4) * 4) for side in (width, height)
    )
    return new_width, new_height
