"""What a run leaves for people to read: a sheet, its curves, its settings and times."""

from __future__ import annotations

import platform
from pathlib import Path

import matplotlib as mpl
import torch
from PIL import Image

from realtime_style.training.config import TrainConfig

mpl.use("agg")  # draws into files; needs no display
from matplotlib import pyplot as plt

_SMOOTHED_OVER = 50  # parts of the run; every point of a curve is the mean of one


def write_report(
    run_dir: Path,
    config: TrainConfig,
    history: list[dict[str, float]],
    seconds: float,
    sheet: Image.Image,
) -> None:
    """Writes sheet.png, curves.png and report.md.

    Args:
        history: the losses of every step, weighted, by name.
        seconds: how long all steps took.
        sheet: of `sample_sheet`.
    """
    sheet.save(run_dir / "sheet.png")
    _draw_curves(run_dir / "curves.png", history)
    last = history[-max(1, len(history) // 10) :]
    lines = [
        f"# {config.painting.stem}",
        "",
        f"{len(history)} steps in {seconds / 60:.1f} minutes, "
        f"{1000 * seconds / max(1, len(history)):.0f} ms a step, on {platform.machine()} with "
        f"PyTorch {torch.__version__} ({torch.get_num_threads()} threads).",
        "",
        "![photos, their paintings, the painting](sheet.png)",
        "",
        "![losses](curves.png)",
        "",
        "Style rises at first, since its weight does: training begins with the photo as it is. "
        "What counts is the sheet, and that the curves are level at the end.",
        "",
        "| loss (weighted) | mean of the last tenth |",
        "|---|---|",
        *(f"| {name} | {_mean(last, name):.4f} |" for name in last[-1]),
        "",
        "| setting | value |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in config.as_dict().items()),
    ]
    (run_dir / "report.md").write_text("\n".join(lines) + "\n")


def _mean(history: list[dict[str, float]], name: str) -> float:
    values = [step[name] for step in history if name in step]
    return sum(values) / len(values)


def _draw_curves(path: Path, history: list[dict[str, float]]) -> None:
    names = list(dict.fromkeys(name for step in history for name in step))
    columns = 3
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(4 * columns, 2.6 * rows), squeeze=False)
    window = max(1, len(history) // _SMOOTHED_OVER)
    for axis, name in zip(axes.flat, names, strict=False):
        known = [(i + 1, step[name]) for i, step in enumerate(history) if name in step]
        parts = [known[i : i + window] for i in range(0, len(known), window)]
        means = [sum(value for _, value in part) / len(part) for part in parts]
        steps = [part[-1][0] for part in parts]
        axis.plot(steps, means, linewidth=1.5)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        if min(means) > 0:
            axis.set_yscale("log")
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(names) :]:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
