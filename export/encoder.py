"""Trains the encoder of style pictures and exports it.

    python -m export.encoder PAINTINGS PHOTOS encoder.onnx

PAINTINGS is a folder of pictures in many styles, PHOTOS a folder of photos. The encoder chooses
among the styles whose strokes are in `models/strokes`; train it again when one is added.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.graph import store_as_half, trace
from export.progress import ProgressLines
from export.to_onnx import write_model
from realtime_style.style.picture_encoder import STYLES_KEY
from realtime_style.training.config import make_config
from realtime_style.training.encoder import StyleEncoder
from realtime_style.training.style_choice import STEPS, train_encoder

_SETTINGS: dict[str, Any] = {"crop_px": 256}
_SIDES_PX = (32, 4096)  # shortest and longest side of pictures that the exported encoder accepts


class PictureEncoder(nn.Module):
    """A trained encoder for uint8 RGB, with its matrices rounded to float16 as in the file."""

    def __init__(self, netE: StyleEncoder) -> None:
        """Args: netE; its matrices are rounded in place."""
        super().__init__()
        for parameter in netE.parameters():
            if parameter.dim() > 1:
                parameter.data = parameter.data.half().float()
        self.encoder = netE

    def forward(self, picture: Tensor) -> Tensor:
        """uint8 RGB, (1, 3, H, W), to the share of each style, (1, styles), float32."""
        shares: Tensor = self.encoder(picture.float() / 255)
        return shares


def export_encoder(netE: StyleEncoder, out: Path) -> None:
    """Writes the encoder as an ONNX file, whose metadata lists the styles as JSON.

    Args:
        netE: a trained encoder; its matrices are rounded to float16 in place.
        out: the file to write.

    Raises:
        StyleError: the file cannot be written.
    """
    low, high = _SIDES_PX
    picture = torch.zeros(1, 3, 192, 320, dtype=torch.uint8)
    h, w = torch.export.Dim("h", min=low, max=high), torch.export.Dim("w", min=low, max=high)
    model = trace(
        PictureEncoder(netE).eval(), (picture,), ["picture"], ["shares"], {"picture": {2: h, 3: w}}
    )
    store_as_half(model)
    model.metadata_props.add(key=STYLES_KEY, value=json.dumps(netE.styles))
    write_model(out, model.SerializeToString())


def main() -> None:
    """Trains the encoder and exports it, as the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paintings", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path, metavar="OUT.onnx")
    parser.add_argument("--features", type=Path, nargs="+", help="see `realtime-style train`")
    arguments = parser.parse_args()
    options = _SETTINGS | {"painting": arguments.paintings, "content": arguments.photos}
    options |= {"features": tuple(arguments.features)} if arguments.features else {}
    netE = train_encoder(make_config(None, None, options), observer=ProgressLines(STEPS, 100))
    export_encoder(netE, arguments.out)


if __name__ == "__main__":
    main()
