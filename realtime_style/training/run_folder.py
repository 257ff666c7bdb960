"""The folder of a training run: which files it has, what a new run removes, and disk errors."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from realtime_style.errors import TrainingError
from realtime_style.training.checkpoint import CHECKPOINT_NAME

GENERATOR_NAME = "generator.safetensors"
_FILES = (CHECKPOINT_NAME, GENERATOR_NAME, "report.md", "curves.png", "sheet.png")
"""The files of a run, in addition to its logs and sample sheets."""


def clear(run_dir: Path) -> None:
    """Removes the files of an earlier run, which could be taken for the new run's; no others."""
    shutil.rmtree(run_dir / "tensorboard", ignore_errors=True)
    for left in (*(run_dir / name for name in _FILES), *run_dir.glob("sample_*.png")):
        left.unlink(missing_ok=True)


def refuse_base_within(run_dir: Path, base: Path | None) -> None:
    """Raises TrainingError where `clear` would remove the base that a new run starts from."""
    if base and base.resolve() in {(run_dir / name).resolve() for name in _FILES}:
        raise TrainingError(
            f"{base} would be removed when training starts in {run_dir}; give a copy of it that is "
            "in another folder",
            setting="base",
        )


@contextmanager
def one_disk_error(run_dir: Path) -> Iterator[None]:
    """A context that turns an OSError into a TrainingError, and keeps it from being printed twice.

    TensorBoard writes on a thread of its own. An error there is raised again in the next call to
    TensorBoard, but the thread prints it as well; this is suppressed.

    Args:
        run_dir: the folder of the run, for the message.
    """
    previous = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not isinstance(arguments.exc_value, OSError):
            previous(arguments)

    threading.excepthook = hook
    try:
        yield
    except OSError as error:
        intact = "; the last checkpoint is intact" if (run_dir / CHECKPOINT_NAME).exists() else ""
        raise TrainingError(
            f"{error.filename or run_dir} cannot be written: {error.strerror or error}{intact}"
        ) from error
    finally:
        threading.excepthook = previous
