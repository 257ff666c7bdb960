"""The seam between two segments without a cut: the end of one fades into the next one's painting.

Each segment is painted by itself, so their strokes differ at a border. On a still camera that would
be seen as a jump. The worker of the first segment therefore paints the next one's lead-in, too, and
fades its last frames into that.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from realtime_style.frame import Frame


class KeepingSink:
    """A sink that keeps painted frames in memory.

    Attributes:
        pictures: by their pts, the planes of each frame as in `Frame.i420`.
    """

    def __init__(self, first_pts: int) -> None:
        """Args: first_pts, frames before it are dropped."""
        self.pictures: dict[int, NDArray[np.uint8]] = {}
        self._first_pts = first_pts

    def write(self, frame: Frame) -> None:
        """See `FrameSink.write`."""
        if frame.pts >= self._first_pts:
            self.pictures[frame.pts] = frame.i420.copy()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None: ...


def fade(frame: Frame, pictures: dict[int, NDArray[np.uint8]]) -> None:
    """Mixes a frame with the picture of the same time, if there is one; more so with each.

    Args:
        frame: its planes are changed in place.
        pictures: what the frames fade into, in the order in which they are shown.
    """
    into = pictures.get(frame.pts)
    if into is None:
        return
    place = 1 + list(pictures).index(frame.pts)
    share = round(256 * place / (len(pictures) + 1))
    mixed = frame.i420 * np.uint16(256 - share)
    mixed += into * np.uint16(share)
    mixed += 128
    mixed >>= 8
    np.copyto(frame.i420, mixed, casting="unsafe")
