"""Trains the encoder of G(x, s) and exports it.

    python -m export.encoder PAINTINGS PHOTOS encoder.onnx

PAINTINGS is a folder of pictures in many styles, PHOTOS one of photos. The encoder belongs to the
bundled styles: when one of them changes, it must be trained anew.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from export.progress import ProgressLines
from export.to_onnx import export_encoder
from realtime_style.style.bank import Bank
from realtime_style.training.any_style import train_any_style
from realtime_style.training.config import make_config

_SETTINGS: dict[str, Any] = {
    "steps": 1500,
    "crop_px": 256,
    "batch_share": 0.0,
    "freeze_norm_at": 0.7,
    "checkpoint_every": 50,
}


def main() -> None:
    """Trains the encoder and exports it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paintings", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path, metavar="OUT.onnx")
    parser.add_argument("--features", type=Path, nargs="+", help="as for `realtime-style train`")
    parser.add_argument("--hold-out", nargs="+", default=[], metavar="NAME")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--resume", action="store_true")
    arguments = parser.parse_args()
    options = _SETTINGS | {"painting": arguments.paintings, "content": arguments.photos}
    options |= {"features": tuple(arguments.features)} if arguments.features else {}
    options |= {"steps": arguments.steps} if arguments.steps else {}
    config = make_config(None, None, options)
    netE = train_any_style(
        config,
        arguments.out.with_suffix(".training"),
        held_out=arguments.hold_out,
        resume=arguments.resume,
        observer=ProgressLines(config.steps, 10),
    )
    export_encoder(netE, Bank(), arguments.out)


if __name__ == "__main__":
    main()
