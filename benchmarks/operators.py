"""Time of each operator of the networks on this CPU, in one thread.

    python benchmarks/operators.py [--sizes 720p 1080p] [--precisions int8 bf16]

OpenVINO measures each operator of the compiled graph; the graph is the one that films are painted
with, but in one stream of one thread. Medians of several runs. Writes operators.json and .md to a
folder of benchmarks/results for this kind of CPU (amx, vnni).
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import openvino
from frame_rate import cpu_kind, has_bf16
from record import RESULTS, add_usual, counted, in_one_line, keep, machine, run, sized

from realtime_style.canvas import canvas_size
from realtime_style.engines.graphs.int8 import int8_model
from realtime_style.engines.graphs.size import model_of_size
from realtime_style.frame import Size
from realtime_style.painting.style_picture import open_any_style
from realtime_style.style.look import Look

TIERS = ("standard", "fast")
WARM_UP = 3
SHOWN = 12  # operators of a graph, the slowest first
_ARITHMETIC = {"f32": "f32", "bf16": "bf16", "int8": "bf16"}


def operators(
    style: str, tier: str, size: tuple[int, int], precision: str, runs: int
) -> list[dict[str, Any]]:
    """The operators of a graph, the slowest first, each with its time in ms."""
    mixed = Look(style, tier=tier).mixed(open_any_style)
    model = mixed.model_for(mixed.color)
    model = int8_model(model) if precision == "int8" else model
    core = openvino.Core()
    arithmetic = _ARITHMETIC[precision] if has_bf16() else "f32"
    compiled = core.compile_model(
        core.read_model(model_of_size(model, size, canvas_size(*size))),
        "CPU",
        {"PERF_COUNT": True, "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1,
         "INFERENCE_PRECISION_HINT": arithmetic},
    )  # fmt: skip
    request, rng = compiled.create_infer_request(), np.random.default_rng(0)
    for given in compiled.inputs:
        planes = rng.integers(0, 255, list(given.shape), np.uint8)
        request.set_tensor(given, openvino.Tensor(planes))
    times_ms: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for number in range(WARM_UP + runs):
        request.infer()
        for part in request.profiling_info:
            if number >= WARM_UP and part.real_time.total_seconds():
                times_ms[part.node_type, part.exec_type, part.node_name].append(
                    1000 * part.real_time.total_seconds()
                )
    found = [
        {"operator": kind, "kernel": kernel, "node": node, "ms": round(statistics.median(each), 3)}
        for (kind, kernel, node), each in times_ms.items()
    ]
    return sorted(found, key=lambda each: -float(each["ms"]))


def row(style: str, tier: str, size: Size, precision: str, runs: int) -> dict[str, Any]:
    """A row of the result: one graph, its whole time, that by kinds, and its operators."""
    width = size.width or round(size.height * 8 / 9) * 2
    found = operators(style, tier, (width, size.height), precision, runs)
    kinds: dict[str, float] = defaultdict(float)
    for each in found:
        kinds[each["operator"]] += each["ms"]
    return {
        "tier": tier,
        "size": f"{width}x{size.height}",
        "precision": precision,
        "total_ms": round(sum(kinds.values()), 2),
        "kinds_ms": {kind: round(ms, 2) for kind, ms in sorted(kinds.items(), key=lambda x: -x[1])},
        "operators": found,
    }


def table(result: dict[str, Any]) -> str:
    """The result as Markdown."""
    lines = ["# Time of each operator", ""]
    lines += [f"`{result['command']}`; {in_one_line(result['machine'])}", ""]
    lines += ["One frame, one thread, in ms; the graph's slowest operators.", ""]
    for graph in result["rows"]:
        lines += [f"## {graph['tier']}, {graph['size']}, {graph['precision']}", ""]
        kinds = ", ".join(f"{kind} {ms}" for kind, ms in graph["kinds_ms"].items() if ms >= 0.05)
        lines += [f"{graph['total_ms']} ms: {kinds}.", ""]
        lines += ["| operator | kernel | node | ms |", "|---|---|---|---|"]
        lines += [
            f"| {each['operator']} | {each['kernel']} | {each['node'][:48]} | {each['ms']:.2f} |"
            for each in graph["operators"][:SHOWN]
        ]
        lines.append("")
    return "\n".join(lines)


def main() -> None:
    """Measures and writes the results."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--style", default="starry-night")
    parser.add_argument("--sizes", type=sized, nargs="+", default=[Size(720), Size(1080)])
    parser.add_argument("--precisions", nargs="+", choices=list(_ARITHMETIC), default=["int8"])
    parser.add_argument("--runs", type=counted, default=15, help="of each graph")
    add_usual(parser)
    options = parser.parse_args()
    if options.quick:
        options.sizes, options.runs = options.sizes[:1], 2
    rows = [
        row(options.style, tier, size, precision, options.runs)
        for precision in options.precisions
        for size in options.sizes
        for tier in TIERS
    ]
    result = {"command": " ".join(["python", *sys.argv]), "machine": machine(), "rows": rows}
    print(table(result))
    if not options.quick:
        folder = options.out / cpu_kind() if options.out == RESULTS else options.out
        keep("operators", result, table(result), folder=Path(folder))


if __name__ == "__main__":
    run(main)
