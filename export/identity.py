"""Trains the identity style, used to scale the strength of all styles.

    python -m export.identity PHOTOS identity.safetensors

PHOTOS is a folder of photos to learn from.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from export.progress import ProgressLines
from realtime_style.training.checkpoint import save_generator
from realtime_style.training.config import BUNDLED_BASE
from realtime_style.training.dataset import PhotoFolder
from realtime_style.training.identity import CROP_PX, train_identity


def main() -> None:
    """Trains the identity style and writes its weights, as the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path, metavar="OUT.safetensors")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument(
        "--base", type=Path, default=BUNDLED_BASE, help="the generator to start from, such as OUT"
    )
    arguments = parser.parse_args()
    photos = PhotoFolder(arguments.photos, CROP_PX, 0)
    progress = ProgressLines(arguments.steps, 100)
    netG = train_identity(photos, arguments.steps, base=arguments.base, observer=progress)
    save_generator(arguments.out, netG, {"training": {"steps": arguments.steps}})


if __name__ == "__main__":
    main()
