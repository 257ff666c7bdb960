"""Batches of training data; each is read on a thread while the step before it is computed."""

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
"""Reads a batch, given the step (from 1), this process's items of it, and the attempt (from 0).

The same arguments give the same batch, in any number of processes. Another attempt gives other
data, because the data that led to NaN would do so again.
"""


class Batches(Generic[B]):
    """The batches of a run; a thread reads the next one in advance."""

    def __init__(self, read: BatchReader[B], state: TrainState, steps: int) -> None:
        """Starts to read the batch of the step after `state.step`.

        Args:
            read: reads a batch; called on the thread.
            state: the state of the run, which says what to read next.
            steps: number of the last step; later ones are not read.

        Raises:
            TrainingError: the batch cannot be split among the processes.
        """
        self._read = read
        self._state = state
        self._steps = steps
        self.restart()

    def restart(self) -> None:
        """Starts again from the state's step, after `close` and a rollback.

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
        """Waits until the next batch has been read; raises TrainingError if it cannot be read."""
        if self._next:
            self._next.result()

    def take(self) -> B:
        """Returns the batch of the next step, `state.step` + 1, and starts to read the one after.

        Raises:
            TrainingError: the batch cannot be read.
        """
        assert self._next
        batch = self._next.result()
        self._next = self._submit(self._state.step + 2)
        return batch

    def close(self) -> None:
        """Ends the thread that reads, and waits for it; the batch that it has read is discarded."""
        self._thread.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class StyleBatch:
    """The data of one step.

    Attributes:
        photo: photos or frames of films, (N, 3, S, S) RGB in 0..1, S the crop and its margins.
        views: a second view of each, under a motion; None in steps that do not learn from motion.
    """

    photo: Tensor
    views: MovedViews | None


@dataclass(frozen=True, slots=True)
class StyleBatches:
    """Reads the batches of style training.

    Before normalisation is frozen (`freeze_norm_at`), they are photos without second views.
    Afterwards they have second views; every second batch is of frames, if there are films.
    """

    config: TrainConfig
    photos: PhotoFolder
    clips: ClipFolder | None

    def read(self, step: int, items: range, attempt: int) -> StyleBatch:
        """See `BatchReader`."""
        config = self.config
        # Motion is learned only once normalisation is frozen: before, it depends on the batch, and
        # the two views would be painted differently
        moves = config.motion_weight or config.motion_features_weight
        moves = moves and step > config.freeze_norm_at * config.steps
        if moves and self.clips and step % 2:
            return StyleBatch(*self.clips.batch(step, items, config.crop_px))
        photo = self.photos.batch(step, items, attempt)
        if not moves:
            return StyleBatch(photo, None)
        return StyleBatch(photo, moved_views(photo, config.crop_px, config.seed, step, items))
