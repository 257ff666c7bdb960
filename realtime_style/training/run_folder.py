"""The folder of a training run: its parts and files, what a new run removes, and disk errors."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from realtime_style.errors import TrainingError
from realtime_style.training.checkpoint import CHECKPOINT_NAME
from realtime_style.training.config import TrainConfig

GENERATOR_NAME = "generator.safetensors"
STROKES_FOLDER = "strokes"
"""The folder within that of a run where strokes are trained, before they are laid over photos."""

_FILES = (CHECKPOINT_NAME, GENERATOR_NAME, "report.md", "curves.png", "sheet.png")
"""The files of a run, in addition to its logs and sample sheets."""


@dataclass(frozen=True, slots=True)
class RunPart:
    """A part of a training run, which has a loop of its own.

    Attributes:
        name: "strokes" or "sharp"; "training" of a run that trains only strokes.
        folder: receives its files.
        steps: number of its steps.
        cleared: folders whose files of an earlier run are removed when this part starts.
    """

    name: str
    folder: Path
    steps: int
    cleared: tuple[Path, ...]

    @property
    def checkpoint(self) -> Path:
        """The file of its checkpoints."""
        return self.folder / CHECKPOINT_NAME

    @property
    def generator(self) -> Path:
        """The file of its generator, which appears at its end."""
        return self.folder / GENERATOR_NAME

    def clear(self) -> None:
        """Removes files of an earlier run, which could be taken for this run's; no others."""
        for folder in self.cleared:
            shutil.rmtree(folder / "tensorboard", ignore_errors=True)
            for left in (*(folder / name for name in _FILES), *folder.glob("sample_*.png")):
                left.unlink(missing_ok=True)

    def refuse_to_clear(self, file: Path | None, setting: str) -> None:
        """Raises TrainingError where `clear` would remove a file that the run starts from.

        Args:
            file: the file; None is never refused.
            setting: the setting that names it.
        """
        removed = {(folder / name).resolve() for folder in self.cleared for name in _FILES}
        if file and file.resolve() in removed:
            raise TrainingError(
                f"{file} would be removed when training starts in {self.folder}; give a copy of it "
                "that is in another folder",
                setting=setting,
            )


def parts_of(config: TrainConfig, run_dir: Path) -> tuple[RunPart, ...]:
    """The parts of a run, in order; the last one's folder is the run's own."""
    both = run_dir, run_dir / STROKES_FOLDER
    if not config.sharp_steps:
        return (RunPart("training", run_dir, config.steps, both),)
    # Strokes may come from an earlier run in this folder, so only its own files are removed
    last = RunPart("sharp", run_dir, config.sharp_steps, (run_dir,))
    if config.strokes:
        return (last,)
    return RunPart("strokes", run_dir / STROKES_FOLDER, config.steps, both), last


def last_checkpoint(run_dir: Path) -> Path | None:
    """The checkpoint of a run that was written last, of whichever part; None if there is none."""
    files = (folder / CHECKPOINT_NAME for folder in (run_dir, run_dir / STROKES_FOLDER))
    return next((file for file in files if file.exists()), None)


@contextmanager
def one_disk_error(part: RunPart) -> Iterator[None]:
    """A context that turns an OSError into a TrainingError, and keeps it from being printed twice.

    TensorBoard writes on a thread of its own. An error there is raised again in the next call to
    TensorBoard, but the thread prints it as well; this is suppressed.

    Args:
        part: what is being trained, for the message.
    """
    previous = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not isinstance(arguments.exc_value, OSError):
            previous(arguments)

    threading.excepthook = hook
    try:
        yield
    except OSError as error:
        intact = "; the last checkpoint is intact" if part.checkpoint.exists() else ""
        raise TrainingError(
            f"{error.filename or part.folder} cannot be written: {error.strerror or error}{intact}"
        ) from error
    finally:
        threading.excepthook = previous
