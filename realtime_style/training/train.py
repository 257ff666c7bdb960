"""Training: a generator learns to paint any photo in the style of a painting, in two parts.

First it learns strokes (`style_training`); then a sharp generator learns to lay them over photos in
the painting's colours (`sharp_training`).
"""

from __future__ import annotations

from pathlib import Path

import torch

from realtime_style.training.config import TrainConfig
from realtime_style.training.device import find_device
from realtime_style.training.generator import Generator
from realtime_style.training.observer import TrainObserver
from realtime_style.training.parallel import processes, wait_for_all
from realtime_style.training.run_folder import RunPart, one_disk_error, parts_of
from realtime_style.training.sharp import SharpGenerator
from realtime_style.training.sharp_training import train_sharp
from realtime_style.training.style_training import train_style


def train(
    config: TrainConfig,
    run_dir: Path,
    *,
    start: Generator | None = None,
    resume: bool = False,
    observer: TrainObserver = TrainObserver(),
) -> Generator | SharpGenerator:
    """Trains a generator to paint any photo in the style of a painting, or of several.

    Under torchrun, every process takes its share of each batch. For NaN, out-of-memory errors and
    Ctrl-C see `loop.run`.

    Args:
        config: what to train on, and how.
        run_dir: receives checkpoints, sample sheets (PNG), TensorBoard logs and, at the end,
            `generator.safetensors` and a report. Its folder `strokes` receives those of the first
            part. The files of an earlier run are removed when training starts, unless it is
            resumed.
        start: the generator to start from, which is trained in place; None reads `config.base`.
        resume: continue from the checkpoint in `run_dir`, of the part that was interrupted.
        observer: receives progress and notes, of each part in turn.

    Returns:
        The trained generator, on the training device; without `config.sharp_steps` that of the
        strokes.

    Raises:
        TrainingError: unusable data or settings, a full disk, or a loss that stays NaN.
        KeyboardInterrupt: on Ctrl-C, after the state is saved.
    """
    device = find_device(config.device)
    with processes(device):
        parts = parts_of(config, run_dir)
        left = _left(parts) if resume else parts
        if not resume:
            left[0].refuse_to_clear(config.base if start is None else None, "base")
            left[-1].refuse_to_clear(config.strokes, "strokes")
        for part in left:
            observer.on_part(part.name, part.steps)
            torch.manual_seed(config.seed)
            goes_on = resume and part is left[0] and (part is parts[0] or part.checkpoint.exists())
            with one_disk_error(part):
                netG: Generator | SharpGenerator
                if part.name == "sharp":
                    strokes = None if config.strokes else parts[0].generator
                    netG = train_sharp(config, part, device, strokes, goes_on, observer)
                else:
                    netG = train_style(config, part, device, start, goes_on, observer)
            wait_for_all()  # the next part reads what one process has written
        return netG


def _left(parts: tuple[RunPart, ...]) -> tuple[RunPart, ...]:
    """The parts of a run that have not ended; the last one, if all have."""
    first, last = parts[0], parts[-1]
    return (last,) if last.checkpoint.exists() or first.generator.exists() else parts
