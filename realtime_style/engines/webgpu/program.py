"""The passes that paint a picture of one size: which kernel, on which buffers, in which order."""

from __future__ import annotations

from dataclasses import dataclass

from realtime_style.engines.webgpu.generator import Convolution, Generator
from realtime_style.engines.webgpu.weights import GROUP, Weights
from realtime_style.errors import EngineError

Sizes = tuple[int, int]

_ROWS = 4  # rows that an invocation of `convolution` makes
_PLANES = 6
_CELL = 4  # packed positions of the canvas along the side of a cell


@dataclass(frozen=True, slots=True)
class Tile:
    """How many invocations work together, along each axis. `width` must be even."""

    width: int = 16
    height: int = 4


@dataclass(frozen=True, slots=True)
class Pass:
    """One run of a kernel.

    Attributes:
        name: the layer, for reports.
        kernel: the name of its file in `kernels`.
        constants: what the kernel is compiled with.
        shape: the values of its uniform, 32-bit integers.
        buffers: names of what it reads, in the order of its bindings; last, what it writes.
        workgroups: how many run, along three axes.
        multiply_adds: how many multiplications with additions it makes.
    """

    name: str
    kernel: str
    constants: tuple[tuple[str, int | bool], ...]
    shape: tuple[int, ...]
    buffers: tuple[str, ...]
    workgroups: tuple[int, int, int]
    multiply_adds: int = 0


@dataclass(frozen=True, slots=True)
class Program:
    """The passes for pictures of one size.

    Attributes:
        passes: in their order.
        values: how many numbers each buffer between passes holds, by name; of the precision's
            type, except for those of WIDE_BUFFERS.
        layout: where planes lie in the buffers of bytes.
    """

    passes: tuple[Pass, ...]
    values: dict[str, int]
    layout: PlanesLayout

    @property
    def multiply_adds(self) -> int:
        """How many multiplications with additions a picture takes."""
        return sum(each.multiply_adds for each in self.passes)


_FLOAT_BUFFERS = ("cells", "smoother", "means")

WIDE_BUFFERS = (*_FLOAT_BUFFERS, "grain cells", "grain levels")
"""Buffers between passes whose values always have 32 bits: floats, and integers."""


@dataclass(frozen=True, slots=True)
class PlanesLayout:
    """Where planes lie in buffers of bytes, in words of 4 bytes: rows begin at whole words.

    Attributes:
        size, canvas: width and height of picture and canvas in pixels.
    """

    size: Sizes
    canvas: Sizes

    @property
    def luma_words(self) -> int:
        """Words of a row of luma."""
        return -(-self.size[0] // 4)

    @property
    def chroma_words(self) -> int:
        """Words of a row of Cb or Cr."""
        return -(-self.size[0] // 8)

    @property
    def chroma_at(self) -> int:
        """The word at which the picture's chroma begins."""
        return self.size[1] * self.luma_words

    @property
    def canvas_at(self) -> int:
        """The word at which the canvas begins, which is where a painting ends."""
        return self.chroma_at + self.size[1] * self.chroma_words

    @property
    def words(self) -> int:
        """All words of picture and canvas."""
        return self.canvas_at + self.canvas[0] * self.canvas[1] * 3 // 8


@dataclass(frozen=True, slots=True)
class GrainPasses:
    """The grain that a program lays under canvases; see `Engine.lay_grain`.

    Attributes:
        side: side of the tile in pixels.
        limits: the greatest texture of each of four levels.
    """

    side: int
    limits: tuple[int, ...]


def program_of(
    generator: Generator,
    weights: Weights,
    size: Sizes,
    canvas: Sizes,
    tile: Tile,
    grain: GrainPasses | None = None,
) -> Program:
    """The passes that paint pictures of a size.

    Args:
        size: width and height of the pictures in pixels, both even.
        canvas: width and height of their canvases, multiples of `canvas.CANVAS_MULTIPLE`.
        tile: how many invocations of convolutions and of the painting work together.
        grain: the grain that canvases get; its tile is in the buffer "grain tile".

    Raises:
        EngineError: convolutions do not return the size that the next ones or an addition need.
    """
    return _Planner(generator, weights, PlanesLayout(size, canvas), tile).program(grain)


class _Planner:
    """Collects passes and the sizes of what lies between them."""

    def __init__(
        self, generator: Generator, weights: Weights, layout: PlanesLayout, tile: Tile
    ) -> None:
        self._generator = generator
        self._at = weights.at
        self._layout = layout
        self._tile = tile
        self._passes: list[Pass] = []
        self._values: dict[str, int] = {}

    def program(self, grain: GrainPasses | None) -> Program:
        generator, layout = self._generator, self._layout
        if grain:
            self._grain(grain)
        half = (layout.canvas[0] // 2, layout.canvas[1] // 2)
        canvas_at, center = 4 * layout.canvas_at, self._at["center"][1]
        chroma_at = canvas_at + layout.canvas[0] * layout.canvas[1]
        self._each(
            "unpack", (*half, canvas_at, chroma_at, center), half, ("planes", "constants", "small")
        )
        self._values["small"] = 2 * GROUP * half[0] * half[1]
        size = self._convolution("stem", generator.stem, "small", "stem", half, relu=True)
        size = self._convolution("down", generator.down, "stem", "trunk", size, relu=True)
        trunk = "trunk"
        for number, (first, second) in enumerate(generator.blocks):
            name, between, after = f"block {number}", f"between {number}", f"trunk {number}"
            inner = self._convolution(f"{name} first", first, trunk, between, size, relu=True)
            made = self._convolution(f"{name} second", second, between, after, inner, added=trunk)
            if made != size:
                raise EngineError(f"WebGPU cannot load this model: {name} changes its input's size")
            trunk = after
        size = self._convolution("up", generator.up, trunk, "up", size, relu=True, shuffle=True)
        if self._convolution("head", generator.head, "up", "edges", size) != half:
            raise EngineError("WebGPU cannot load this model: its body changes the canvas's size")
        cells = (half[0] // _CELL, half[1] // _CELL)
        self._each("cells", cells, cells, ("edges", "cells"))
        self._each("smooth", cells, cells, ("cells", "smoother"))
        self._each("smooth", cells, cells, ("smoother", "means"))
        self._values |= dict.fromkeys(_FLOAT_BUFFERS, GROUP * cells[0] * cells[1])
        self._each("strokes", half, half, ("edges", "means", "strokes"))
        self._values["strokes"] = _PLANES * half[0] * half[1]
        self._painting(half)
        return Program(tuple(self._passes), self._values, layout)

    def _grain(self, grain: GrainPasses) -> None:
        """Adds the passes that lay grain under the canvas, in its planes."""
        (width, height), luma_at = self._layout.canvas, self._layout.canvas_at
        cells = width // _CELL, height // _CELL
        self._values |= dict.fromkeys(("grain cells", "grain levels"), cells[0] * cells[1])
        self._each("grain_cells", (*cells, luma_at), cells, ("planes", "grain cells"))
        limits = (*cells, *grain.limits)
        self._each("grain_levels", limits, cells, ("grain cells", "grain levels"))
        words = width // 4, height
        buffers = ("grain levels", "grain tile", "planes")
        self._each("grain", (*words, luma_at), words, buffers, (("SIDE", grain.side),))

    def _each(
        self,
        kernel: str,
        shape: tuple[int, ...],
        size: Sizes,
        buffers: tuple[str, ...],
        constants: tuple[tuple[str, int | bool], ...] = (),
    ) -> None:
        """Adds a pass with one invocation for each position."""
        tile = Tile(8, 8)
        groups = -(-size[0] // tile.width), -(-size[1] // tile.height), 1
        constants += _constants(tile)
        self._passes.append(Pass(kernel, kernel, constants, shape, buffers, groups))

    def _convolution(
        self,
        name: str,
        layer: Convolution,
        source: str,
        result: str,
        size: Sizes,
        *,
        relu: bool = False,
        added: str = "",
        shuffle: bool = False,
    ) -> Sizes:
        """Adds a convolution; returns the width and height of what it makes."""
        outputs, inputs = layer.weight.shape[:2]
        reach = layer.dilation * (layer.kernel - 1)
        width, height = ((s + 2 * layer.padding - reach - 1) // layer.stride + 1 for s in size)
        tile, groups = self._tile, -(-outputs // (2 * GROUP))
        if shuffle:
            groups = -(-outputs // (GROUP * GROUP)) * 2
        weights_at, biases_at = self._at[name]
        constants = (
            ("IN_GROUPS", -(-inputs // GROUP)), ("KERNEL", layer.kernel),
            ("STRIDE", layer.stride), ("RELU", relu), ("ADD", bool(added)), ("SHUFFLE", shuffle),
        )  # fmt: skip
        shape = (*size, width, height, layer.padding, layer.dilation, weights_at, biases_at)
        self._passes.append(
            Pass(
                name,
                "convolution",
                constants + _constants(tile),
                shape,
                (source, "kernels", "constants", added or source, result),
                (-(-width // tile.width), -(-height // (_ROWS * tile.height)), groups),
                layer.weight.size * width * height,
            )
        )
        self._values[result] = 2 * GROUP * groups * width * height
        return (2 * width, 2 * height) if shuffle else (width, height)

    def _painting(self, canvas: Sizes) -> None:
        """Adds the pass at the picture's size."""
        layout, tile = self._layout, self._tile
        half = layout.size[0] // 2, layout.size[1] // 2
        maps = self._generator.recolor, self._generator.range
        hidden = [-(-len(layers[0].weight) // GROUP) for layers in maps]
        places = (self._at[name][1] for name in ("center", "recolor", "range"))
        constants = (
            ("RECOLOR_GROUPS", hidden[0]), ("RANGE_GROUPS", hidden[1]), ("MAX_GROUPS", max(hidden)),
        )  # fmt: skip
        groups = -(-layout.luma_words // tile.width), -(-half[1] // tile.height), 1
        self._passes.append(
            Pass(
                "painting",
                "painting",
                constants + _constants(tile),
                (*half, *canvas, layout.luma_words, layout.chroma_words, *places),
                ("planes", "strokes", "constants", "painted"),
                groups,
                sum(layer.weight.size for layers in maps for layer in layers) * half[0] * half[1],
            )
        )


def _constants(tile: Tile) -> tuple[tuple[str, int | bool], ...]:
    return ("TILE_WIDTH", tile.width), ("TILE_HEIGHT", tile.height)


def shared_buffers(program: Program) -> dict[str, int]:
    """Which of a few buffers each buffer between passes uses, by name.

    A buffer is used again once the last pass that reads it has been added.
    """
    last = {name: i for i, each in enumerate(program.passes) for name in each.buffers}
    free: list[int] = []
    used: dict[str, int] = {}
    for number, each in enumerate(program.passes):
        made = each.buffers[-1]
        if made in program.values:
            used[made] = free.pop() if free else len(set(used.values()))
        for name in dict.fromkeys(each.buffers):
            if name in program.values and last[name] == number:
                free.append(used[name])
    return used
