"""Finds people in frames: one number for each cell of a coarse grid, steady in time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from realtime_style.engines.network import Network
from realtime_style.errors import EngineError
from realtime_style.frame import Frame, FramePool
from realtime_style.media.converter import copy_planes, picture_of
from realtime_style.media.scaling import rgb_from_frame
from realtime_style.style.bundled import CHART

MASK_WIDTH, MASK_HEIGHT = 256, 144
"""Size of the pictures that the network sees, whatever their shape, and of its masks."""

_MODEL = CHART.with_name("person_mask.onnx")

# Masks are in 8-bit codes, 0 (background) to 255 (person)
_SURE = 48  # codes from either end within which the network is sure
_MOVED = 6  # codes of luma; where less has changed, nothing has moved
_CALM_SHIFT = 2  # where nothing has moved, the mask follows by 1 / 2^2 of the difference per frame
_CUT_CODES, _CUT_SHARE = 12, 0.6  # at a cut, that share of the cells changes by more than that


@dataclass(frozen=True, slots=True)
class Found:
    """Where people are in a frame.

    Attributes:
        mask: how much each cell belongs to a person, (144, 256) float32 from 0 to 1.
        small: the frame, scaled to 256x144.
    """

    mask: NDArray[np.float32]
    small: Frame


class PersonFinder:
    """Finds people in the frames of one film or camera, in order. Not thread-safe."""

    def __init__(self, engine: str = "auto") -> None:
        """Loads the network.

        Args:
            engine: see `Network`; engines that run only styles leave it to another one.

        Raises:
            EngineError: no engine that can run it is installed, or the file is missing.
        """
        try:
            model = _MODEL.read_bytes()
        except OSError as error:
            raise EngineError(
                "the network that finds people is missing; reinstall with: "
                "pip install --force-reinstall realtime-style"
            ) from error
        self._network = Network(model, engine, threads=1)
        self._reformatters = VideoReformatter(), VideoReformatter()
        self._pool = FramePool()
        self._mask: NDArray[np.int16] | None = None  # of the last frame, smoothed
        self._luma = np.zeros(0, np.int16)  # of the last frame, small

    def reset(self) -> None:
        """Forgets all frames: the next one is the first."""
        self._mask = None

    def find(self, frame: Frame, *, steady: bool) -> Found:
        """Finds people.

        Args:
            frame: of any size.
            steady: whether the mask follows slowly where nothing moves; else each frame is taken by
                itself.

        Raises:
            EngineError: the network fails.
        """
        small = self._reduced(frame)
        rgb = rgb_from_frame(small, (MASK_WIDTH, MASK_HEIGHT), self._reformatters[1])
        mask = self._network({"picture": rgb[None]})["mask"][0]
        codes = self._steadied(mask, small.luma[0, 0]) if steady else mask
        return Found(_stretched(codes), small)

    def _reduced(self, frame: Frame) -> Frame:
        """The frame at the network's size. In one thread, as there is too little to share."""
        small = frame.blank(self._pool, MASK_HEIGHT, MASK_WIDTH)
        picture = self._reformatters[0].reformat(
            picture_of(frame), MASK_WIDTH, MASK_HEIGHT, "yuv420p",
            interpolation=Interpolation.AREA, threads=1,
        )  # fmt: skip
        copy_planes(picture, small)
        return small

    def _steadied(self, mask: NDArray[np.uint8], luma: NDArray[np.uint8]) -> NDArray[np.int16]:
        """The mask, which follows at once where the picture moves, and slowly elsewhere.

        Where nothing moves, a person neither comes nor goes: what changes is only the network's
        mind. At a cut everything follows at once.
        """
        fresh, light = mask.astype(np.int16), luma.astype(np.int16)
        former = self._mask
        if former is not None:
            change = np.abs(light - self._luma)
            if np.count_nonzero(change > _CUT_CODES) < _CUT_SHARE * change.size:
                calm = change <= _MOVED
                step = fresh - former
                step[calm] >>= _CALM_SHIFT
                fresh = former + step
        self._mask, self._luma = fresh, light
        return fresh


def _stretched(codes: NDArray[np.uint8] | NDArray[np.int16]) -> NDArray[np.float32]:
    """A mask from 0 to 1, in which everything that the network is sure of is exactly 0 or 1."""
    mask = codes.astype(np.float32)
    mask -= _SURE
    mask *= 1 / (255 - 2 * _SURE)
    return np.clip(mask, 0, 1, out=mask)
