"""Writes the files of a training run: logs and sample sheets, then the generator and a report."""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from realtime_style.training.checkpoint import save_generator
from realtime_style.training.config import TrainConfig
from realtime_style.training.generator import Generator
from realtime_style.training.observer import TrainObserver, TrainStep
from realtime_style.training.report import write_report
from realtime_style.training.run_folder import RunPart
from realtime_style.training.sharp import SharpGenerator
from realtime_style.training.sheets import sample_sheet
from realtime_style.training.state import TrainState


class Records(TrainObserver):
    """An observer that writes sample sheets and TensorBoard logs to the folder of a part."""

    def __init__(
        self,
        part: RunPart,
        config: TrainConfig,
        netG: Generator | SharpGenerator,
        samples: Tensor,
        painting: Tensor,
        done: int,
    ) -> None:
        """Writes nothing before training starts.

        Args:
            part: says where. Its folder is made if it is missing; if `done` is 0, the files of an
                earlier run are removed.
            config: the settings of the run, which say how often to write a sheet.
            netG: the generator in training.
            samples: photos for the sheets, (N, 3, S, S) RGB in 0..1.
            painting: the painting for the sheets, (1, 3, H, W) RGB in 0..1.
            done: number of steps that were complete before; logs of later steps are dropped.
        """
        self._part = part
        self._config = config
        self._netG = netG
        self._samples = samples
        self._painting = painting
        self._done = done
        self._writer: SummaryWriter | None = None

    def conclude(self, state: TrainState, card: dict[str, Any], how_to_read: str) -> None:
        """Writes the generator and a report, after the last step.

        Args:
            state: the state of the training.
            card: facts for the generator's metadata, in addition to the settings.
            how_to_read: see `write_report`.
        """
        card = {"training": self._config.as_dict()} | card
        save_generator(self._part.generator, self._netG, card)
        write_report(
            self._part.folder,
            self._config,
            state.history,
            state.seconds,
            self._sheet(),
            how_to_read,
        )

    def _sheet(self) -> Image.Image:
        return sample_sheet(self._netG, self._samples, self._painting)

    def on_start(self) -> None:
        """Makes and clears the folder, and starts the log."""
        self._part.folder.mkdir(parents=True, exist_ok=True)
        if not self._done:
            self._part.clear()
        purge_step = self._done + 1 if self._done else None
        self._writer = SummaryWriter(self._part.folder / "tensorboard", purge_step=purge_step)
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
        if step.step % self._config.sample_every == 0 or step.step == self._part.steps:
            sheet = self._sheet()
            sheet.save(self._part.folder / f"sample_{step.step:06d}.png")
            pixels = torch.frombuffer(bytearray(sheet.tobytes()), dtype=torch.uint8)
            pixels = pixels.view(sheet.height, sheet.width, 3)
            self._writer.add_image("samples", pixels, step.step, dataformats="HWC")

    def on_end(self) -> None:
        """Closes the log."""
        if self._writer:
            with contextlib.suppress(OSError):  # a full disk has been reported already
                self._writer.close()
