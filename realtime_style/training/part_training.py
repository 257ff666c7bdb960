"""What all parts of a training run share: going on from a checkpoint, the loop, and the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from torch import Tensor

from realtime_style.training import loop
from realtime_style.training.batches import BatchReader
from realtime_style.training.checkpoint import load_checkpoint
from realtime_style.training.config import TrainConfig, refuse_other_settings
from realtime_style.training.dataset import PhotoFolder
from realtime_style.training.generator import Generator
from realtime_style.training.observer import Observers, TrainObserver
from realtime_style.training.parallel import leads
from realtime_style.training.run_folder import RunPart
from realtime_style.training.schedule import trapezoid
from realtime_style.training.sharp import SharpGenerator
from realtime_style.training.state import TrainState

T = TypeVar("T")


def saved_state(part: RunPart, config: TrainConfig) -> dict[str, Any]:
    """What a part's checkpoint holds; raises TrainingError if it began with other settings."""
    saved = load_checkpoint(part.checkpoint)
    refuse_other_settings(config, saved["config"])
    return saved


def go_on(state: TrainState, saved: dict[str, Any], part: RunPart, observer: TrainObserver) -> None:
    """Goes on from a part's checkpoint, of `saved_state`."""
    state.load(saved, part.checkpoint)
    observer.on_note(f"resuming after step {state.step} of {part.steps}")


def run_part(
    config: TrainConfig,
    part: RunPart,
    netG: Generator | SharpGenerator,
    state: TrainState,
    objective: loop.Objective[T],
    read: BatchReader[T],
    photos: PhotoFolder,
    painting: Tensor,
    observer: TrainObserver,
    *,
    how_to_read: str,
    card: dict[str, object],
    finish: Callable[[], None] = lambda: None,
) -> None:
    """Trains a part of a run to its end, and writes its generator and its report.

    Args:
        config: what to train on, and how.
        part: where everything goes.
        netG: the generator, which `state` trains.
        state: new, or loaded by `go_on`.
        objective: computes the losses.
        read: reads a batch.
        photos: where the photos of the sample sheets come from.
        painting: shown in the sample sheets, (1, 3, H, W) in 0..1.
        observer: receives progress and notes.
        how_to_read: what the report says about its curves.
        card: more for the style's card.
        finish: changes the generator right after the last step.

    Raises:
        TrainingError: see `loop.run`.
        KeyboardInterrupt: on Ctrl-C, after the state is saved.
    """
    # Only here: exporting imports this module too, and needs neither TensorBoard nor Matplotlib
    from realtime_style.training.records import Records

    netG.train()
    samples = photos.samples(3, 2 * config.crop_px)
    records = Records(part, config, netG, samples, painting, state.step)
    watched = Observers([records, observer]) if leads() else observer
    recipe = loop.Recipe(part.steps, trapezoid, part.checkpoint, config.checkpoint_every, finish)
    loop.run(state, objective, read, recipe, watched)
    photos.note_skipped(observer)
    if leads():
        records.conclude(state, card, how_to_read)
