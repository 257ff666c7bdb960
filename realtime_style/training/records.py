"""Writes TensorBoard logs and sample sheets while a style training runs."""

from __future__ import annotations

import contextlib
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from realtime_style.training import run_folder
from realtime_style.training.config import TrainConfig
from realtime_style.training.generator import Generator
from realtime_style.training.observer import TrainObserver, TrainStep
from realtime_style.training.sheets import sample_sheet


class Records(TrainObserver):
    """An observer that writes sample sheets and TensorBoard logs to the folder of a run."""

    def __init__(
        self,
        run_dir: Path,
        config: TrainConfig,
        netG: Generator,
        samples: Tensor,
        painting: Tensor,
        done: int,
    ) -> None:
        """Writes nothing before training starts.

        Args:
            run_dir: the folder. It is made if it is missing; if `done` is 0, the files of an
                earlier run are removed from it.
            config: the settings of the run, which say how often to write a sheet.
            netG: the generator in training.
            samples: photos for the sheets, (N, 3, S, S) RGB in 0..1.
            painting: the painting for the sheets, (1, 3, H, W) RGB in 0..1.
            done: number of steps that were complete before; logs of later steps are dropped.
        """
        self._run_dir = run_dir
        self._config = config
        self._netG = netG
        self._samples = samples
        self._painting = painting
        self._done = done
        self._writer: SummaryWriter | None = None

    def sheet(self) -> Image.Image:
        """Draws a sheet with the generator as it is now."""
        return sample_sheet(self._netG, self._samples, self._painting)

    def on_start(self) -> None:
        """Makes and clears the folder, and starts the log."""
        self._run_dir.mkdir(parents=True, exist_ok=True)
        if not self._done:
            run_folder.clear(self._run_dir)
        purge_step = self._done + 1 if self._done else None
        self._writer = SummaryWriter(self._run_dir / "tensorboard", purge_step=purge_step)
        if not self._done:
            self._writer.add_image("painting", self._painting[0], 0)

    def on_step(self, step: TrainStep) -> None:
        """Logs the step; writes a sheet every `sample_every` steps, and after the last one."""
        assert self._writer
        for name, value in step.losses.items():
            self._writer.add_scalar(f"loss/{name}", value, step.step)
        self._writer.add_scalar("learning_rate", step.learning_rate, step.step)
        for name, value in step.seen.items():
            self._writer.add_scalar(name, value, step.step)
        if step.step % self._config.sample_every == 0 or step.step == self._config.steps:
            sheet = self.sheet()
            sheet.save(self._run_dir / f"sample_{step.step:06d}.png")
            pixels = torch.frombuffer(bytearray(sheet.tobytes()), dtype=torch.uint8)
            pixels = pixels.view(sheet.height, sheet.width, 3)
            self._writer.add_image("samples", pixels, step.step, dataformats="HWC")

    def on_end(self) -> None:
        """Closes the log."""
        if self._writer:
            with contextlib.suppress(OSError):  # a full disk has been reported already
                self._writer.close()
