"""What every engine can do, and what an engine for frames in GPU memory can do as well."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]


class Engine(ABC):
    """A loaded network. Only one thread at a time may call it.

    Attributes:
        name: its name in `registry.ENGINES`.
        device: the device it runs on, human-readable.
        precision: the arithmetic of its convolutions: f32, bf16, f16 or int8.
        in_flight: how many pictures may be begun before the first is waited for.
    """

    name: str
    device: str
    precision: str
    in_flight: int = 1

    def __init__(self, notes: Sequence[str] = ()) -> None:
        self._notes = list(notes)

    @property
    def notes(self) -> list[str]:
        """What its user should know, in sentences; may grow while it runs."""
        return self._notes

    def prepare(
        self, width: int, height: int, on_build: Callable[[float], None] | None = None
    ) -> None:
        """Gets ready for pictures of a size, so that the first takes no longer than the others.

        Args:
            on_build: called with the part that is done, 0..1, while an engine is built.

        Raises:
            EngineError: it cannot be built.
        """
        return  # most engines have nothing to build

    @abstractmethod
    def begin(
        self, luma: Plane, chroma: Plane, out_luma: Plane, out_chroma: Plane
    ) -> Callable[[], None]:
        """Begins to paint one picture; call the result to wait until it is done.

        Args:
            luma, out_luma: (1, 1, H, W) uint8, C-contiguous. H and W are multiples of the style's
                size multiple and may change from call to call.
            chroma, out_chroma: (1, 2, H/2, W/2) uint8, C-contiguous.

        The inputs are read before this returns, the outputs are complete after waiting. Pictures
        are waited for in the order in which they were begun, at most `in_flight` of them at once;
        every one must be waited for, even if its result is no longer needed.

        Raises:
            EngineError: the network fails, changes the size, or is cancelled; waiting raises it
                as well.
        """

    def infer(self, luma: Plane, chroma: Plane, out_luma: Plane, out_chroma: Plane) -> None:
        """Paints one picture into the given arrays and waits for it; see `begin`."""
        self.begin(luma, chroma, out_luma, out_chroma)()

    @abstractmethod
    def cancel(self) -> None:
        """Ends a call in another thread with EngineError; no calls may follow."""


@dataclass(frozen=True, slots=True)
class GpuPicture:
    """A picture in GPU memory, as video hardware stores it (NV12, uint8).

    `luma` and `chroma` are the addresses of the first bytes; chroma has Cb and Cr interleaved in
    half as many rows. A pitch is the distance between the starts of two rows, in bytes.
    """

    width: int
    height: int
    luma: int
    luma_pitch: int
    chroma: int
    chroma_pitch: int


class GpuEngine(Engine):
    """An engine that can also paint pictures in the memory of its GPU and leave them there."""

    @abstractmethod
    def begin_gpu_picture(self, picture: GpuPicture, painted: GpuPicture) -> Callable[[], None]:
        """Like `begin`, but `picture` must not change until it has been waited for."""


def done() -> None:
    """Waits for a picture that is painted already."""
