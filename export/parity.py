"""Parity: checks on some frames that engines paint like the generator, value by value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from realtime_style.engines.choice import EngineChoice
from realtime_style.engines.engine import Planes
from realtime_style.engines.opening import open_engine
from realtime_style.engines.registry import ENGINES, available_engines
from realtime_style.errors import EngineError, StyleError
from realtime_style.style.style import Style

MAX_DIFFERENCE = 1  # of an 8-bit value, in float32
MAX_DIFFERENT_PART = 1e-3  # of all values, in float32
MIN_PSNR_DB = {"bf16": 38.0, "f16": 40.0, "int8": 34.0}  # to float32


@dataclass(frozen=True, slots=True)
class Parity:
    """How far an engine's paintings are from a reference, over all frames and planes.

    Attributes:
        engine: name of the engine.
        precision: the precision that it painted in.
        reference: what it was compared with, such as "PyTorch f32".
        max_difference: the largest difference between two 8-bit values, 0..255.
        different_part: the share of the values that differ, 0..1.
        psnr_db: peak signal-to-noise ratio in dB; infinite for equal paintings.
    """

    engine: str
    precision: str
    reference: str
    max_difference: int
    different_part: float
    psnr_db: float

    def __str__(self) -> str:
        if not self.max_difference:
            return f"{self.engine} {self.precision} paints exactly like {self.reference}"
        return (
            f"{self.engine} {self.precision} paints like {self.reference}: {self.psnr_db:.1f} dB, "
            f"{self.different_part:.2%} of values differ, by at most {self.max_difference} of 255"
        )

    def as_dict(self) -> dict[str, Any]:
        """All attributes by name, for JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def check_parity(netG: nn.Module, style: Style, pictures: Sequence[Planes]) -> list[Parity]:
    """Checks all available engines: in float32 against PyTorch, lower precisions against float32.

    Args:
        netG: the PyTorch module, from the planes of `Planes` to painted uint8 planes.
        style: the same network as a style.
        pictures: in the style's colour space.

    Returns:
        What was measured, for each engine and precision.

    Raises:
        StyleError: there are no pictures; in float32 a value differs by more than MAX_DIFFERENCE,
            or more than MAX_DIFFERENT_PART of all values differ; or a lower precision is below its
            MIN_PSNR_DB.
    """
    if not pictures:
        raise StyleError("checking parity needs at least one picture")
    with torch.inference_mode():
        painted = [netG(*map(torch.from_numpy, picture)) for picture in pictures]
    reference = [(luma.numpy(), chroma.numpy()) for luma, chroma in painted]
    results = []
    for engine_name in available_engines():
        kind = ENGINES[engine_name]
        exact, exact_name = reference, "PyTorch f32"
        if kind.device == "cpu":  # GPUs compute float32 convolutions in TF32, which is not exact
            exact, exact_name = _paint(style, engine_name, "f32", pictures), f"{engine_name} f32"
            parity = _compare(engine_name, "f32", "PyTorch f32", exact, reference)
            results.append(parity)
            if parity.max_difference > MAX_DIFFERENCE or parity.different_part > MAX_DIFFERENT_PART:
                raise StyleError(
                    f"{engine_name} does not paint like PyTorch: values differ by up to "
                    f"{parity.max_difference} of 255 (allowed {MAX_DIFFERENCE}), "
                    f"{parity.different_part:.3%} of them (allowed {MAX_DIFFERENT_PART:.1%})"
                )
        for lower in ("f16", "bf16", "int8"):
            if lower not in kind.precisions:
                continue
            try:
                lower_painted = _paint(style, engine_name, lower, pictures)
            except EngineError:
                continue  # this engine, CPU or style does not support it
            parity = _compare(engine_name, lower, exact_name, lower_painted, exact)
            results.append(parity)
            if parity.psnr_db < MIN_PSNR_DB[lower]:
                raise StyleError(
                    f"{engine_name} in {lower} is {parity.psnr_db:.1f} dB from float32; at least "
                    f"{MIN_PSNR_DB[lower]} dB are needed"
                )
    return results


_Painted = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def _paint(
    style: Style, engine_name: str, precision: str, pictures: Sequence[Planes]
) -> list[_Painted]:
    choice = EngineChoice(engine_name, precision)
    engine = open_engine(style.model_for(style.color), choice)
    painted = []
    for picture in pictures:
        out = np.empty_like(picture.luma), np.empty_like(picture.chroma)
        engine.infer(picture, *out)
        painted.append(out)
    return painted


def _compare(
    engine: str, precision: str, reference: str, found: list[_Painted], expected: list[_Painted]
) -> Parity:
    differences = np.concatenate(
        [
            np.abs(a.astype(np.int16) - b.astype(np.int16)).reshape(-1)
            for pair, other in zip(found, expected, strict=True)
            for a, b in zip(pair, other, strict=True)
        ]
    )
    mse = float(np.square(differences, dtype=np.float64).mean())
    return Parity(
        engine=engine,
        precision=precision,
        reference=reference,
        max_difference=int(differences.max()),
        different_part=float((differences > 0).mean()),
        psnr_db=float("inf") if mse == 0 else float(10 * np.log10(255**2 / mse)),
    )
