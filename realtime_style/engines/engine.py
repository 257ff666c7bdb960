"""What every engine is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.uint8]


class Engine(ABC):
    """A loaded network. One thread at a time may call it.

    Attributes:
        name: what `--engine` calls it.
        device: what it runs on, for people to read.
        precision: the arithmetic of its convolutions: f32, bf16 or f16.
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
        of them at once. Raises EngineError, as waiting does, where the network fails, does not
        keep the sizes, or is cancelled.
        """

    def infer(self, luma: Plane, chroma: Plane, out_luma: Plane, out_chroma: Plane) -> None:
        """Paints one picture into the given arrays, as `begin` does, and waits for it."""
        self.begin(luma, chroma, out_luma, out_chroma)()

    @abstractmethod
    def cancel(self) -> None:
        """Ends a call in another thread, if there is one; no more calls may follow."""


def done() -> None:
    """Waits for a picture that is painted already."""
