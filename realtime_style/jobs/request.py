"""What a film job is asked for: a value."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from realtime_style.engines.registry import refuse_gpu_frames
from realtime_style.errors import MediaError, StyleError
from realtime_style.frame import Size, StreamInfo
from realtime_style.media.encoding import Encoding, usual_size
from realtime_style.media.film_source import FileSource
from realtime_style.painting.plan import PaintPlan

RESIDENCIES = ("memory", "gpu")


@dataclass(frozen=True, slots=True)
class FilmRequest:
    """One film to paint: a value that can be stored, sent to another process, and compared.

    Attributes:
        source: a film file, "-" (standard input), an address that FFmpeg opens, or a pattern for
            numbered pictures (frame_%04d.png).
        out: the new film: a file, "-" (standard output, Matroska) or such a pattern.
        plan: how its frames are painted.
        size: the size at which frames are painted; None paints at the film's own.
        output_size: the new film's size; None keeps the film's, or takes a smaller one for GIF and
            WebP. Pictures of another shape get bars.
        start_s, duration_s: the part of the film to paint, in seconds; None paints to the end.
        rate: of numbered pictures and raw streams, in frames per second; None takes 25, or what
            the stream says.
        encoding: how the new film is encoded.
        hwaccel: the device that decodes, one of `film_source.hwaccels()`; None decodes on the CPU.
        residency: where frames live: "memory", or "gpu" to decode, paint and encode in the memory
            of the first GPU of `plan.engine`; stability, grain and masks are not available there.
        overwrite: whether an existing film may be replaced, once the new one is complete.

    Raises:
        StyleError: a value that is out of range or that cannot be combined with another.
    """

    source: str
    out: str
    plan: PaintPlan = field(default_factory=PaintPlan)
    size: Size | None = None
    output_size: Size | None = None
    start_s: float = 0.0
    duration_s: float | None = None
    rate: Fraction | None = None
    encoding: Encoding = field(default_factory=Encoding)
    hwaccel: str | None = None
    residency: str = "memory"
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name in ("source", "out"):  # paths are welcome, but text can be stored
            object.__setattr__(self, name, os.fspath(getattr(self, name)))
        if not math.isfinite(self.start_s) or self.start_s < 0:
            raise MediaError(
                f"the start must be 0 s or later, not {self.start_s:g} s", setting="start_s"
            )
        if self.duration_s is not None and not 0 < self.duration_s < math.inf:
            raise MediaError(
                f"the duration must be positive and finite, not {self.duration_s:g} s",
                setting="duration_s",
            )
        if self.rate is not None and self.rate <= 0:
            raise MediaError(f"the frame rate must be above 0, not {self.rate}", setting="rate")
        if self.residency not in RESIDENCIES:
            raise MediaError(
                f"unknown residency '{self.residency}'; choose {' or '.join(RESIDENCIES)}",
                setting="residency",
            )
        if self.residency == "gpu":
            self._refuse_in_gpu_memory()

    def _refuse_in_gpu_memory(self) -> None:
        unwanted = {
            "size": self.size,
            "output_size": self.output_size,
            "bit_depth": self.encoding.bit_depth,
            "hwaccel": self.hwaccel,
        }
        for setting, value in unwanted.items():
            if value is not None:
                raise MediaError(
                    f"{setting} cannot be combined with frames in GPU memory", setting=setting
                )
        if self.plan.mask:
            raise MediaError(
                "people are not found in GPU memory, so frames there are painted whole",
                setting="only",
            )
        if len(self.plan.engine.devices) > 1:
            raise MediaError("frames in GPU memory need exactly one GPU", setting="devices")
        refuse_gpu_frames(self.plan.engine.name, self.plan.engine.precision)

    def as_json(self) -> str:
        """The request as one JSON object; `from_json` reads it.

        Raises:
            StyleFileError: the look holds an opened style, which has no name.
        """
        values: dict[str, Any] = {item.name: getattr(self, item.name) for item in fields(self)}
        values |= {"plan": self.plan.as_dict(), "encoding": asdict(self.encoding)}
        for name in ("size", "output_size", "rate"):
            values[name] = None if values[name] is None else str(values[name])
        return json.dumps(values)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Reads the text of `as_json`.

        Raises:
            StyleError: it is not such a text, or a value in it is out of range.
        """
        try:
            values = json.loads(text)
            values["plan"] = PaintPlan.from_dict(values["plan"])
            values["encoding"] = Encoding(**values["encoding"])
            for name, kind in (
                ("size", Size.parse),
                ("output_size", Size.parse),
                ("rate", Fraction),
            ):
                values[name] = None if values[name] is None else kind(values[name])
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise StyleError(f"this is not the JSON of a film request: {error}") from error


def gpu_device(request: FilmRequest) -> int | None:
    """The number of the GPU in whose memory frames live; None for main memory."""
    return request.plan.engine.devices[0] if request.residency == "gpu" else None


def open_source(request: FilmRequest) -> FileSource:
    """The part of the film that a request asks for; raises MediaError if it cannot be read."""
    return FileSource(
        request.source,
        size=request.size,
        start_s=request.start_s,
        duration_s=request.duration_s,
        rate=request.rate,
        hwaccel=request.hwaccel,
        gpu_device=gpu_device(request),
    )


def film_size(request: FilmRequest, info: StreamInfo) -> tuple[int, int]:
    """Width and height of the new film, in pixels, even."""
    own_size, wanted = own_size_of(info), request.output_size
    return wanted.of(*own_size) if wanted else usual_size(Path(request.out), own_size)


def own_size_of(info: StreamInfo) -> tuple[int, int]:
    """Width and height of a film before any scaling, in pixels, even."""
    return info.source_width & ~1, info.source_height & ~1
