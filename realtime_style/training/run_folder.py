"""The folder of a training run: what it holds, what a new run replaces, and disk errors."""

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
"""Files that a run leaves, in addition to its logs and sample sheets."""


def clear(run_dir: Path) -> None:
    """Removes what an earlier run left, and nothing else: it would pass for the new run's."""
    shutil.rmtree(run_dir / "tensorboard", ignore_errors=True)
    for left in (*(run_dir / name for name in _FILES), *run_dir.glob("sample_*.png")):
        left.unlink(missing_ok=True)


def refuse_base_within(run_dir: Path, base: Path | None) -> None:
    """Raises TrainingError where `clear` would remove the base that a new run starts from."""
    if base and base.resolve() in {(run_dir / name).resolve() for name in _FILES}:
        raise TrainingError(
            f"{base} is replaced when training starts over in {run_dir}; start from a copy of it",
            setting="base",
        )


@contextmanager
def one_disk_error(run_dir: Path) -> Iterator[None]:
    """Turns an OSError into a TrainingError, and makes it the only thing that is printed.

    The thread in which TensorBoard writes prints its errors; its next caller receives them too.
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
