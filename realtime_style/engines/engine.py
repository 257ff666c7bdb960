"""What every engine is, and what one on a GPU can do besides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]


class Engine(ABC):
    """A loaded network. One thread at a time may call it.

    Attributes:
        name: what `--engine` calls it.
        device: what it runs on, for people to read.
        precision: the arithmetic of its convolutions: f32, bf16, f16 or int8.
        depth: how many pictures may be on their way at once.
        notes: what its user should know, in words; it may grow.
        on_build: called with the part that is done, 0..1, while something is built that takes long.
    """

    name: str
    device: str
    precision: str
    depth: int = 1
    notes: Sequence[str] = ()
    on_build: Callable[[float], None] | None = None

    def prepare(self, width: int, height: int) -> None:
        """Makes ready for pictures of a size, so that the first one takes no longer than others.

        Raises EngineError where it cannot be done.
        """
        return  # nothing takes long

    @abstractmethod
    def begin(
        self, luma: Plane, chroma: Plane, out_luma: Plane, out_chroma: Plane
    ) -> Callable[[], None]:
        """Begins to paint one picture; what it returns waits until that is done.

        luma and out_luma are (1, 1, H, W), chroma and out_chroma (1, 2, H/2, W/2), all uint8 and
        C-contiguous; H and W are multiples of the style's size multiple and may change from call
        to call. The first two are read before it returns, the others are written by the time the
        waiting is over. Pictures are waited for in the order in which they began, up to `depth`
        of them at once; all of them, also where they are of no use any more. Raises EngineError,
        as waiting does, where the network fails, does not keep the sizes, or is cancelled.
        """

    def infer(self, luma: Plane, chroma: Plane, out_luma: Plane, out_chroma: Plane) -> None:
        """Paints one picture into the given arrays, as `begin` does, and waits for it."""
        self.begin(luma, chroma, out_luma, out_chroma)()

    @abstractmethod
    def cancel(self) -> None:
        """Ends a call in another thread, if there is one; no more calls may follow."""


@dataclass(frozen=True, slots=True)
class GpuPicture:
    """A picture in a GPU's memory, as video hardware keeps it (NV12).

    Addresses of luma's first byte and of chroma's, which are both colours side by side in half as
    many rows; a pitch is how many bytes a row begins after the one before.
    """

    width: int
    height: int
    luma: int
    luma_pitch: int
    chroma: int
    chroma_pitch: int


class GpuEngine(Engine):
    """An engine that also paints pictures that are on its GPU, and leaves them there."""

    @abstractmethod
    def begin_on_gpu(self, picture: GpuPicture, painted: GpuPicture) -> Callable[[], None]:
        """As `begin`; but `picture` must stay as it is until the waiting is over."""


def done() -> None:
    """Waits for a picture that is painted already."""
