"""Trains the encoder of G(x, s) and exports it.

    python -m export.encoder PAINTINGS PHOTOS encoder.onnx

PAINTINGS is a folder of pictures in many styles, PHOTOS a folder of photos. An encoder works only
with the styles that it was trained with. When a bundled style changes, keep its former file in
`models/bank`; to train the encoder on today's styles, empty that folder first.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.graph import store_as_half, trace
from export.progress import ProgressLines
from export.to_onnx import write_model
from realtime_style.style.bank import Bank
from realtime_style.training.any_style import train_any_style
from realtime_style.training.config import make_config
from realtime_style.training.encoder import StyleEncoder

_SETTINGS: dict[str, Any] = {
    "steps": 1500,
    "crop_px": 256,
    "batch_share": 0.0,
    "freeze_norm_at": 0.7,
    "checkpoint_every": 50,
}
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
        """uint8 RGB, (1, 3, H, W), to a style vector, (1, vector_size), float32."""
        vector: Tensor = self.encoder(picture.float() / 255)
        return vector


def export_encoder(netE: StyleEncoder, bank: Bank, out: Path) -> None:
    """Writes the encoder of G(x, s) as an ONNX file.

    Args:
        netE: a trained encoder; its matrices are rounded to float16 in place.
        bank: the bank of its styles, whose digest is stored in the file.
        out: the file to write.

    Raises:
        StyleError: the file cannot be written.
    """
    low, high = _SIDES_PX
    picture = torch.zeros(1, 3, 192, 320, dtype=torch.uint8)
    h, w = torch.export.Dim("h", min=low, max=high), torch.export.Dim("w", min=low, max=high)
    model = trace(
        PictureEncoder(netE).eval(), (picture,), ["picture"], ["code"], {"picture": {2: h, 3: w}}
    )
    store_as_half(model)
    model.metadata_props.add(key="bank", value=bank.digest)
    write_model(out, model.SerializeToString())


def main() -> None:
    """Trains the encoder and exports it, as the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("paintings", type=Path)
    parser.add_argument("photos", type=Path)
    parser.add_argument("out", type=Path, metavar="OUT.onnx")
    parser.add_argument("--features", type=Path, nargs="+", help="see `realtime-style train`")
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
