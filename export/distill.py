"""Trains a smaller generator to paint like a trained one, and exports it: the fast tier.

    python -m export.distill realtime_style/styles/great-wave.safetensors PHOTOS great-wave.onnx

PHOTOS is a folder of photos. If there is a card next to the generator (great-wave.json), it is
copied into the style. The body starts with the fast tier's strokes of the style of that name; for
other styles it starts from the fast base, and needs about 1500 steps to learn strokes. `--base
none` starts from random weights, to make such a base.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from export.frames import parity_frames
from export.progress import ProgressLines
from export.to_onnx import export_style
from realtime_style.errors import TrainingError
from realtime_style.training.checkpoint import (
    load_any_generator,
    load_generator,
    save_generator,
)
from realtime_style.training.config import FROM_NOTHING
from realtime_style.training.distill import FAST, FAST_BASE, FAST_STROKES, TEXTURE_WEIGHT, distill
from realtime_style.training.generator import Generator
from realtime_style.training.sharp import SharpGenerator
from realtime_style.training.sharp_training import crops_of

PORTRAIT_SHARE = 0.2
"""Share of the crops that are taken from photos of faces, if there are any."""


def main() -> None:
    """Trains a smaller generator and exports it, as the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("teacher", type=Path, metavar="GENERATOR.safetensors")
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path, metavar="OUT.onnx")
    parser.add_argument(
        "--base",
        type=Path,
        help="a small generator to start the body from; none: random weights",
    )
    parser.add_argument("--steps", type=int, help="default: 700, or 1500 without strokes")
    parser.add_argument("--portraits", type=Path, help="a folder of photos of faces")
    parser.add_argument("--texture", type=float, default=TEXTURE_WEIGHT, metavar="WEIGHT")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    teacher, card = load_any_generator(arguments.teacher)
    if not isinstance(teacher, SharpGenerator):
        raise TrainingError(
            f"{arguments.teacher} holds strokes; give the sharp generator of a style"
        )
    own = FAST_STROKES / arguments.teacher.name
    base = arguments.base or (own if own.exists() else FAST_BASE)
    has_strokes = base.parent == FAST_STROKES
    steps = arguments.steps or (700 if has_strokes else 1500)
    body = Generator(FAST) if base.name == FROM_NOTHING else load_generator(base)[0]
    run_dir = arguments.out.with_suffix(".training")
    run_dir.mkdir(parents=True, exist_ok=True)
    netG = distill(
        teacher,
        body,
        crops_of(
            arguments.photos, arguments.seed, portraits=arguments.portraits, share=PORTRAIT_SHARE
        ),
        steps,
        run_dir / "checkpoint.pt",
        norm_steps=0 if has_strokes else steps // 2,
        texture_weight=arguments.texture,
        seed=arguments.seed,
        resume=arguments.resume,
        observer=ProgressLines(steps, 50),
    )
    card_file = arguments.teacher.with_suffix(".json")
    if card_file.is_file():
        about = json.loads(card_file.read_text())
        about.pop("figures", None)  # they were measured with the teacher
        card |= about
    card |= {"distilled": {"from": arguments.teacher.name, "steps": steps}}
    save_generator(run_dir / "generator.safetensors", netG, card)
    parity = export_style(
        netG, arguments.out, arguments.out.stem, card, parity_frames(arguments.photos)
    )
    for result in parity:
        print(f"parity: {result}")


if __name__ == "__main__":
    main()
