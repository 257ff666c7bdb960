"""The interface of all engines, and that of engines for frames in GPU memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]


class Planes(NamedTuple):
    """A picture to paint, all uint8 and C-contiguous.

    Attributes:
        luma: (1, 1, H, W), H and W even.
        chroma: (1, 2, H/2, W/2): Cb and Cr.
        canvas_luma: luma of the same picture, reduced to the canvas, (1, 1, h, w), h and w
            multiples of `canvas.CANVAS_MULTIPLE`. Strokes are as large relative to the canvas in
            every picture, so its size decides how large they are.
        canvas_chroma: likewise chroma, (1, 2, h/2, w/2).
    """

    luma: Plane
    chroma: Plane
    canvas_luma: Plane
    canvas_chroma: Plane

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels."""
        return self.luma.shape[3], self.luma.shape[2]

    @property
    def canvas(self) -> tuple[int, int]:
        """Width and height of the canvas in pixels."""
        return self.canvas_luma.shape[3], self.canvas_luma.shape[2]

    def copy(self) -> Planes:
        """The same picture in new arrays."""
        return Planes(*(plane.copy() for plane in self))


class Engine(ABC):
    """A loaded network.

    Only one thread at a time may call it; `cancel` may be called from any thread.

    Attributes:
        name: the engine's name in `registry.ENGINES`.
        device: the device that it runs on, human-readable.
        precision: the arithmetic of its convolutions: "f32", "bf16", "f16" or "int8".
        in_flight: how many pictures may be begun before the first is waited for.
    """

    name: str
    device: str
    precision: str
    in_flight: int = 1

    def __init__(self, notes: Sequence[str] = ()) -> None:
        """Args: notes, the first ones of `notes`."""
        self._notes = list(notes)

    @property
    def notes(self) -> list[str]:
        """Sentences that the user should read; more may be added while the engine runs."""
        return self._notes

    def prepare(
        self,
        size: tuple[int, int],
        canvas: tuple[int, int],
        on_build: Callable[[float], None] | None = None,
    ) -> None:
        """Gets ready for pictures of a size, so that the first takes no longer than the others.

        Args:
            size: width and height of the pictures in pixels.
            canvas: width and height of their canvases.
            on_build: called while an engine is built, with the finished part of the work, 0..1.

        Raises:
            EngineError: the engine cannot be built.
        """
        return  # not every engine has something to build

    @abstractmethod
    def begin(self, planes: Planes, out_luma: Plane, out_chroma: Plane) -> Callable[[], None]:
        """Begins to paint one picture. Call the result to wait until the picture is painted.

        The inputs may be reused as soon as this returns; the outputs are complete after waiting.
        At most `in_flight` pictures may be begun before the first is waited for. Each must be
        waited for, in the order in which they were begun, even if it is no longer needed.

        Args:
            planes: the picture. Its size and that of its canvas may change from call to call.
            out_luma, out_chroma: where the painted planes are written, in the shapes of the
                picture's.

        Raises:
            EngineError: the network fails, the shapes do not fit together, or the engine was
                cancelled; waiting may raise it as well.
        """

    def infer(self, planes: Planes, out_luma: Plane, out_chroma: Plane) -> None:
        """Paints one picture into `out_luma` and `out_chroma`, and waits for it; see `begin`."""
        self.begin(planes, out_luma, out_chroma)()

    def lay_grain(self, tile: NDArray[np.int16], limits: Sequence[int]) -> bool:
        """Lays a grain under the flat areas of all canvases from now on, if the engine can.

        Args:
            tile: the grain, repeated over the canvas, (side, side); see `painting.grain.Grain`.
            limits: the greatest texture that gets one level of grain, two, three and four.

        Returns:
            Whether it does. If not, the caller must do it.
        """
        return False

    def device_ms(self, planes: Planes) -> float | None:
        """Paints a picture; returns how long its device computed, in ms, without copies and waits.

        None if the engine cannot measure that.
        """
        return None

    @abstractmethod
    def cancel(self) -> None:
        """Makes a call that is running in another thread raise EngineError; no calls may follow."""


@dataclass(frozen=True, slots=True)
class GpuPicture:
    """A picture in GPU memory, as video hardware stores it: NV12, uint8.

    Attributes:
        width, height: size of luma in pixels, both even.
        luma: address of the first byte of luma, which has `height` rows of `width` bytes.
        chroma: address of the first byte of chroma, which has `height` / 2 rows of `width` bytes:
            Cb and Cr in turn.
        luma_pitch, chroma_pitch: distance between the starts of two rows, in bytes.
    """

    width: int
    height: int
    luma: int
    luma_pitch: int
    chroma: int
    chroma_pitch: int


class GpuEngine(Engine):
    """An engine that can also paint from GPU memory into GPU memory."""

    @abstractmethod
    def begin_gpu_picture(
        self, picture: GpuPicture, painted: GpuPicture, canvas: tuple[int, int]
    ) -> Callable[[], None]:
        """Begins to paint a picture into another of the same size; see `begin`.

        Unlike with `begin`, neither may be reused before the result has been waited for.

        Args:
            picture: the picture. The engine reduces it to the canvas itself.
            painted: where the painted picture is written.
            canvas: width and height of the canvas in pixels, as in `Planes`.
        """


def done() -> None:
    """Does nothing; what `begin` returns where the picture is painted already."""
