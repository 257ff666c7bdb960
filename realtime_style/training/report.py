"""The report of a training run: a sheet, curves of the losses, the settings and the time."""

from __future__ import annotations

import platform
from pathlib import Path

import torch
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from PIL import Image

from realtime_style.training.config import TrainConfig
from realtime_style.wording import counted

_PARTS = 50  # points of a curve; each is the mean over a 50th of the run
_COLUMNS = 3
_PANEL_IN = (4.0, 2.6)  # width and height of a panel in inches


def write_report(
    run_dir: Path,
    config: TrainConfig,
    history: list[dict[str, float]],
    seconds: float,
    sheet: Image.Image,
    how_to_read: str,
) -> None:
    """Writes sheet.png, curves.png and report.md.

    Args:
        run_dir: the folder of the run.
        config: the settings of the run.
        history: for every step the weighted losses by name, from the first step on.
        seconds: how long all steps took together.
        sheet: see `sample_sheet`.
        how_to_read: a paragraph in Markdown about the curves.
    """
    sheet.save(run_dir / "sheet.png")
    draw_curves(run_dir / "curves.png", history)
    last = history[-max(1, len(history) // 10) :]
    lines = [
        f"# {config.painting.stem}",
        "",
        f"{counted(len(history), 'step')} in {seconds / 60:.1f} minutes, "
        f"{1000 * seconds / max(1, len(history)):.0f} ms per step, on {platform.machine()} with "
        f"PyTorch {torch.__version__} ({torch.get_num_threads()} threads).",
        "",
        "![photos, the photos painted, the painting](sheet.png)",
        "",
        "![losses](curves.png)",
        "",
        how_to_read,
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


def draw_curves(path: Path, history: list[dict[str, float]]) -> None:
    """Draws a smoothed curve of each loss, with a logarithmic axis if all values are positive.

    Args:
        path: the picture to write.
        history: see `write_report`.
    """
    names = list(dict.fromkeys(name for step in history for name in step))
    rows = -(-len(names) // _COLUMNS)
    figure = Figure(figsize=(_PANEL_IN[0] * _COLUMNS, _PANEL_IN[1] * rows))
    axes = figure.subplots(rows, _COLUMNS, squeeze=False)
    # Fixed margins: measuring every label takes longer than drawing all of them
    figure.subplots_adjust(
        left=0.05, right=0.98, bottom=0.4 / rows / _PANEL_IN[1],
        top=1 - 0.3 / rows / _PANEL_IN[1], wspace=0.2, hspace=0.4,
    )  # fmt: skip
    window = max(1, len(history) // _PARTS)
    for axis, name in zip(axes.flat, names, strict=False):
        known = [(i + 1, step[name]) for i, step in enumerate(history) if name in step]
        parts = [known[i : i + window] for i in range(0, len(known), window)]
        means = [sum(value for _, value in part) / len(part) for part in parts]
        axis.plot([part[-1][0] for part in parts], means, linewidth=1.5)
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        if min(means) > 0:
            axis.set_yscale("log")
            axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
            axis.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
            axis.yaxis.set_minor_formatter(NullFormatter())
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(names) :]:
        axis.axis("off")
    figure.savefig(path)
