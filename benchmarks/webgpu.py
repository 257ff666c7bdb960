"""How fast a GPU paints through WebGPU: pictures per second by size, and the time of each pass.

`--out FOLDER` writes webgpu.json with the adapter's name, to share. `--passes` prints how many
operations and bytes each pass takes at 720p, as a table for docs/guides/gpu.md; it needs no GPU.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from record import machine

from realtime_style.canvas import canvas_size
from realtime_style.engines.webgpu.adapters import adapters
from realtime_style.engines.webgpu.generator import read_generator
from realtime_style.engines.webgpu.program import WIDE_BUFFERS, Pass, Program, Tile, program_of
from realtime_style.engines.webgpu.trial import noise, picture_ms
from realtime_style.engines.webgpu.weights import weights_of
from realtime_style.style.bundled import TIERS, open_style

SIZES = {"360p": (640, 360), "720p": (1280, 720), "1080p": (1920, 1080), "4k": (3840, 2160)}
STYLE = "starry-night"


def model_of(tier: str) -> bytes:
    """The network of a tier; all its styles take the same time."""
    style = open_style(STYLE, tier)
    return style.model_for(style.color)


def planned(tier: str, size: tuple[int, int]) -> Program:
    """The passes that paint pictures of a size."""
    generator = read_generator(model_of(tier))
    return program_of(generator, weights_of(generator), size, canvas_size(*size), Tile())


def bytes_of(program: Program, each: Pass, real_bytes: int) -> int:
    """What a pass reads and writes, if it read everything once."""
    total = 0
    for name in dict.fromkeys(each.buffers):
        if name in program.values:
            total += program.values[name] * (4 if name in WIDE_BUFFERS else real_bytes)
        elif name == "planes":
            words = program.layout.words - program.layout.canvas_at
            total += 4 * (program.layout.canvas_at if each.kernel == "painting" else words)
        elif name == "painted":
            total += 4 * program.layout.canvas_at
    return total


def passes_table(size: tuple[int, int]) -> str:
    """Operations and bytes of each pass in both tiers, in float16, as Markdown."""
    programs = [planned(tier, size) for tier in TIERS]
    lines = ["| pass | standard tier: GFLOP, MB | fast tier: GFLOP, MB |", "|---|---|---|"]
    rows: dict[str, list[tuple[float, float]]] = {}
    for program in programs:
        sums: dict[str, list[float]] = {}
        for each in program.passes:
            name = "blocks" if each.name.startswith("block") else each.name
            row = sums.setdefault(
                "means, strokes" if name in ("cells", "smooth", "strokes") else name, [0, 0]
            )
            row[0] += 2 * each.multiply_adds / 1e9
            row[1] += bytes_of(program, each, 2) / 1e6
        sums["all"] = [sum(row[i] for row in sums.values()) for i in range(2)]
        for name, (operations, moved) in sums.items():
            rows.setdefault(name, []).append((operations, moved))
    for name, cells in rows.items():
        figures = " | ".join(f"{operations:.2f}, {moved:.1f}" for operations, moved in cells)
        lines.append(f"| {name} | {figures} |")
    return "\n".join(lines)


def measured(
    number: int, precision: str, sizes: dict[str, tuple[int, int]], pictures: int
) -> list[dict[str, object]]:
    """One row for each tier and size: pictures per second, and the time of each pass."""
    from realtime_style.engines.webgpu.engine import WebGpuEngine

    rows: list[dict[str, object]] = []
    for tier in TIERS:
        engine = WebGpuEngine(model_of(tier), precision, number, in_flight=None)
        for name, size in sizes.items():
            time_ms = picture_ms(engine, size, pictures)
            row: dict[str, object] = {"tier": tier, "size": name, "precision": engine.precision}
            row |= {"ms": round(time_ms, 3), "fps": round(1000 / time_ms, 2)}
            if adapters()[number].has_timestamps:
                row["passes"] = [
                    {
                        "pass": name,
                        "ms": round(ms, 4),
                        "gflops": round(2 * adds / ms / 1e6, 1) if ms else 0,
                    }
                    for name, ms, adds in engine.pass_times(noise(size))
                ]
            rows.append(row)
            rate = f"{time_ms:9.2f} ms {1000 / time_ms:8.1f} fps"
            print(f"{tier:<9} {name:<6} {engine.precision} {rate}")
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", type=int, default=0, help="number of the adapter")
    parser.add_argument("--precision", default="auto", help="auto, f16 or f32")
    parser.add_argument("--out", type=Path, help="folder for webgpu.json")
    parser.add_argument("--passes", action="store_true", help="print operations and bytes only")
    parser.add_argument("--quick", action="store_true", help="only try the script, write nothing")
    options = parser.parse_args()
    if options.passes:
        print(passes_table(SIZES["720p"]))
        return
    found = adapters()
    if options.device >= len(found):
        parser.error(f"there is no adapter {options.device}; realtime-style doctor lists them")
    sizes = {"360p": SIZES["360p"]} if options.quick else SIZES
    rows = measured(options.device, options.precision, sizes, 2 if options.quick else 60)
    if options.out and not options.quick:
        options.out.mkdir(parents=True, exist_ok=True)
        report = {"machine": machine(), "adapter": asdict(found[options.device]), "rows": rows}
        (options.out / "webgpu.json").write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
