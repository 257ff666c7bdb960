"""Batches of training data, each read on a thread while the step before it computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from torch import Tensor

from realtime_style.training.config import TrainConfig
from realtime_style.training.dataset import PhotoFolder
from realtime_style.training.motion import ClipFolder, MovedViews, moved_views
from realtime_style.training.parallel import part_of
from realtime_style.training.state import TrainState

B = TypeVar("B")

BatchReader = Callable[[int, range, int], B]
"""Reads a batch: of this step (from 1), these items of it, in this attempt (from 0).

The same arguments give the same batch, in any number of processes. Another attempt gives other
data, because what led to a NaN would do so again.
"""


class Batches(Generic[B]):
    """The batches of a run, one step ahead."""

    def __init__(self, read: BatchReader[B], state: TrainState, steps: int) -> None:
        """Starts to read the batch after `state.step`; none after `steps`."""
        self._read = read
        self._state = state
        self._steps = steps
        self.restart()

    def restart(self) -> None:
        """Reads from the state's step again, after a rollback.

        Raises:
            TrainingError: the batch cannot be split among the processes.
        """
        self._items = part_of(self._state.batch)
        self._attempt = self._state.rollbacks
        self._thread = ThreadPoolExecutor(1)
        self._next = self._submit(self._state.step + 1)

    def _submit(self, step: int) -> Future[B] | None:
        if step > self._steps:
            return None
        return self._thread.submit(self._read, step, self._items, self._attempt)

    def wait(self) -> None:
        """Waits for the next batch; raises the TrainingError of data that cannot be read."""
        if self._next:
            self._next.result()

    def take(self) -> B:
        """The batch of the next step, `state.step` + 1."""
        assert self._next
        batch = self._next.result()
        self._next = self._submit(self._state.step + 2)
        return batch

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class StyleBatch:
    """Photos of a step and second views of them.

    `photo` is (N, 3, S, S) in 0..1, S the crop and its margins; `views` is None in steps that do
    not learn from motion.
    """

    photo: Tensor
    views: MovedViews | None


@dataclass(frozen=True, slots=True)
class StyleBatches:
    """Reads the batches of style training.

    Before normalisation is frozen they are photos only; afterwards photos, or frames of films, with
    second views.
    """

    config: TrainConfig
    photos: PhotoFolder
    clips: ClipFolder | None

    def read(self, step: int, items: range, attempt: int) -> StyleBatch:
        """A `BatchReader`."""
        config = self.config
        # Only once normalisation is frozen: with its own statistics, each view would be painted a
        # little differently
        moves = config.motion_weight or config.motion_features_weight
        moves = moves and step > config.freeze_norm_at * config.steps
        if moves and self.clips and step % 2:
            return StyleBatch(*self.clips.batch(step, items, config.crop_px))
        photo = self.photos.batch(step, items, attempt)
        if not moves:
            return StyleBatch(photo, None)
        return StyleBatch(photo, moved_views(photo, config.crop_px, config.seed, step, items))
